//! All clients of a run, on one thread.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::Timespec;
use socket2::{Domain, Socket, Type};

use crate::client::{Client, Plan, Tally};
use crate::clock;

/// Clients that are on their way in at a time.
const ARRIVING: usize = 128;
/// What one read may bring.
const READ: usize = 512 * 1024;
/// Source addresses towards a loopback address: one address has 28,000 ports at most.
const SOURCES: u8 = 8;

pub struct Swarm {
    epoll: OwnedFd,
    server: SocketAddr,
    plan: Plan,
    members: Vec<Member>,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    pub tally: Tally,
    /// Clients whose connection ended, and why the first of them did.
    pub gone: usize,
    pub reason: Option<String>,
}

struct Member {
    stream: TcpStream,
    client: Client,
    /// The beginning of something that has not come whole.
    carry: Vec<u8>,
    /// Whether the connection is there.
    connected: bool,
    gone: bool,
}

// === impl Swarm ===

impl Swarm {
    pub fn new(server: SocketAddr, plan: Plan) -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            server,
            plan,
            members: Vec::new(),
            events: Vec::with_capacity(1024),
            buffer: vec![0; READ],
            tally: Tally::default(),
            gone: 0,
            reason: None,
        })
    }

    /// Connects `count` clients, of which number n listens to key n modulo `keys`, and returns how long it took until the first
    /// connect of each was answered.
    pub fn connect(&mut self, count: usize, keys: u32) -> Result<Duration> {
        let start = clock::now();
        let deadline = start + clock::nanos(Duration::from_mins(1));
        while self.tally.ready < count {
            while self.members.len() < count && self.members.len() < self.tally.ready + self.gone + ARRIVING {
                let key = u32::try_from(self.members.len())? % keys;
                self.add(key)?;
            }
            self.turn(Duration::from_millis(100))?;
            if let Some(reason) = &self.reason {
                bail!("a client could not connect: {reason}");
            }
            ensure!(
                clock::now() < deadline,
                "only {} of {count} clients have connected within a minute",
                self.tally.ready
            );
        }
        Ok(Duration::from_nanos(clock::now() - start))
    }

    fn add(&mut self, key: u32) -> Result<()> {
        let socket = Socket::new(Domain::for_address(self.server), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let number = self.members.len();
        if self.server.ip().is_loopback() && self.server.is_ipv4() {
            let last = 1 + u8::try_from(number % usize::from(SOURCES))?;
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
        }
        if let Err(error) = socket.connect(&self.server.into())
            && error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error())
        {
            return Err(error).context("no connection to the server");
        }
        let stream = TcpStream::from(socket);
        epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), EventFlags::OUT)?;
        let client = Client::new(&self.plan, key);
        self.members.push(Member { stream, client, carry: Vec::new(), connected: false, gone: false });
        Ok(())
    }

    /// Receives until `until`, in nanoseconds of the clock, or until `done`.
    pub fn receive(&mut self, until: u64, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        loop {
            let left = until.saturating_sub(clock::now());
            if left == 0 || done(self) {
                return Ok(());
            }
            self.turn(Duration::from_nanos(left).min(Duration::from_millis(100)))?;
        }
    }

    /// Waits for something to receive, and receives it.
    fn turn(&mut self, wait: Duration) -> Result<()> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        let mut events = std::mem::take(&mut self.events);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let number = usize::try_from({ event.data }.u64())?;
            if let Err(reason) = self.serve(number) {
                self.members[number].gone = true;
                self.gone += 1;
                epoll::delete(&self.epoll, &self.members[number].stream)?;
                self.reason.get_or_insert(reason);
            }
        }
        self.events = events;
        Ok(())
    }

    fn serve(&mut self, number: usize) -> Result<(), String> {
        let member = &mut self.members[number];
        if !member.connected {
            if let Some(error) = member.stream.take_error().map_err(|error| error.to_string())? {
                return Err(error.to_string());
            }
            member.connected = true;
            epoll::modify(&self.epoll, &member.stream, EventData::new_u64(number as u64), EventFlags::IN)
                .map_err(|error| error.to_string())?;
            return member.send();
        }
        let carried = member.carry.len();
        if carried + READ / 2 > self.buffer.len() {
            self.buffer.resize(carried + READ, 0);
        }
        self.buffer[..carried].copy_from_slice(&member.carry);
        let read = match member.stream.read(&mut self.buffer[carried..]) {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        };
        let whole = &self.buffer[..carried + read];
        let taken = member.client.receive(&self.plan, whole, &mut self.tally)?;
        member.carry.clear();
        member.carry.extend_from_slice(&whole[taken..]);
        if member.client.out.is_empty() { Ok(()) } else { member.send() }
    }

    /// Sends messages of the first client's.
    pub fn say(&mut self, messages: &str) -> Result<()> {
        let first = self.members.first_mut().context("there is a client")?;
        first.client.send(&self.plan, messages);
        first.send().map_err(anyhow::Error::msg)
    }

    /// How many deliveries have not come, of `written` records, number n with key n modulo `keys`.
    pub fn lost(&self, written: u64, keys: u32) -> u64 {
        let keys = u64::from(keys);
        let of_key = |key: u32| (written + keys - 1 - u64::from(key)) / keys;
        self.members.iter().map(|member| member.client.lost(of_key(member.client.key()))).sum()
    }
}

// === impl Member ===

impl Member {
    /// Requests are small: a socket that does not take one whole is a server that does not read.
    fn send(&mut self) -> Result<(), String> {
        if self.gone {
            return Ok(());
        }
        self.stream.write_all(&self.client.out).map_err(|error| error.to_string())?;
        self.client.out.clear();
        // Thousands of idle clients need no buffers.
        self.client.out.shrink_to(0);
        Ok(())
    }
}
