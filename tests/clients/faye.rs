//! `halley tail` and `halley publish` against a server that is not Halley.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::support::bayeux::BOTH;
use crate::support::driver::Driver;
use crate::support::gateway::{binary, halley};
use crate::support::process;

#[test]
fn the_tools_speak_to_faye() {
    let mut node = Driver::node("faye_server.mjs", &[]);
    let port = node.expect("listening", |_| true)["port"].clone();
    let url = format!("http://127.0.0.1:{port}/faye");
    for transport in BOTH {
        let mut command = process::command(binary());
        command.args(["tail", "-n", "1", "--url", &url, "--transport", transport.name(), "/news/*"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tail = process::spawn(command);
        let mut said = String::new();
        BufReader::new(tail.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, format!("subscribed to /news/* ({})\n", transport.name()));
        let args = ["publish", "--url", &url, "--transport", transport.name(), "/news/a", r#"{"text":"ä"}"#];
        let output = halley(Path::new("/"), &args);
        assert!(output.status.success(), "{output:?}");
        let output = tail.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, "{\"channel\":\"/news/a\",\"data\":{\"text\":\"ä\"}}\n");
    }
}
