//! Child processes that never outlive the tests.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// A running child. Dropped, it is killed; when the test process dies without dropping it, the kernel kills it.
pub struct Process {
    name: &'static str,
    child: Child,
    log: NamedTempFile,
    ended: bool,
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// All children are started by one thread that lives as long as the test process: the kernel's parent-death signal looks at the thread.
static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in inbox {
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

/// A command that dies with the tests.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program.as_ref());
    command
}

/// Starts a [`command`] with whatever pipes it asks for.
pub fn spawn(command: Command) -> Child {
    let (answer, child) = mpsc::channel();
    STARTER.send((command, answer)).expect("the starter lives");
    child.recv().expect("the starter answers").expect("the program can be started")
}

/// Sends a signal by its name (`TERM`, `STOP`, …).
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("sh runs");
    assert!(status.success(), "kill -{name} {pid}");
}

// === impl Process ===

impl Process {
    /// Starts `command`; what it prints goes to a log that a failing test shows.
    pub fn start(name: &'static str, mut command: Command) -> Self {
        let log = NamedTempFile::new().expect("a log file");
        let to = |log: &NamedTempFile| {
            Stdio::from(File::options().append(true).open(log.path()).expect("the log opens"))
        };
        command.stdin(Stdio::null()).stdout(to(&log)).stderr(to(&log));
        Self { name, child: spawn(command), log, ended: false }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = true;
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("the child can be waited for");
        self.ended |= status.is_some();
        status
    }

    /// Waits for its end; panics when that takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            assert!(Instant::now() < end, "{} did not end within {limit:?}", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that it has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log.path()).unwrap_or_default()).into_owned()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{}/status", self.pid())))
            .expect("the process is there");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS is given");
        let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number of kB");
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
        if std::thread::panicking() {
            const SHOWN: usize = 60;
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(SHOWN);
            eprintln!("--- the last lines of {}:", self.name);
            for line in &lines[from..] {
                eprintln!("{line}");
            }
            eprintln!("---");
        }
    }
}
