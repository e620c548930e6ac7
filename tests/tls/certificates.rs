//! The files of `tls`: what is wrong with them is told, and what changes in them is taken over.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::rig::{Bridge, CA, Client as Shake, NAMES, Papers, STRANGER, Secure, block_on, connect};
use crate::support::bayeux::{BOTH, Client};
use crate::support::certificates::{certificate, openssl};
use crate::support::eventually;
use crate::support::gateway::halley;

/// The gateway looks once a second and wants to see a change twice.
const SOON: Duration = Duration::from_secs(10);

/// What `halley check` says of `tls` in a folder with `cert.pem` and `key.pem`; the second part is the hint.
fn check(dir: &Path, tls: &str) -> String {
    fs::create_dir_all(dir.join("mappings")).unwrap();
    fs::write(dir.join("mappings/chat.yaml"), crate::support::gateway::LOCAL).unwrap();
    fs::write(dir.join("halley.yaml"), format!("tls: {{ {tls} }}\n")).unwrap();
    let output = halley(dir, &["check"]);
    let told = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        return "good".to_owned();
    }
    assert_eq!(output.status.code(), Some(2), "{told}");
    // `serve` says the same.
    let served = halley(dir, &["serve"]);
    assert_eq!((served.status.code(), String::from_utf8(served.stderr).unwrap()), (Some(2), told.clone()));
    told
}

#[test]
fn what_is_wrong_with_a_file_is_told_at_start() {
    let papers = Papers::new();
    let dir = papers.dir();
    certificate(dir, CA, "other", NAMES);
    openssl(dir, &["x509", "-in", "gateway.pem", "-outform", "der", "-out", "der.pem"]);
    openssl(dir, &["pkey", "-in", "gateway.key", "-outform", "der", "-out", "der.key"]);
    openssl(dir, &["pkey", "-in", "gateway.key", "-aes128", "-passout", "pass:x", "-out", "locked.key"]);
    fs::write(dir.join("broken.pem"), "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n")
        .unwrap();
    fs::write(dir.join("empty.pem"), "").unwrap();
    let key = fs::read_to_string(papers.path("gateway.key")).unwrap();
    fs::write(dir.join("broken.key"), key.replacen('M', "?", 1)).unwrap();

    let place = |column: usize| format!("halley.yaml:1:{column}: ");
    for (tls, column, expected) in [
        (
            "cert: none.pem, key: gateway.key",
            14,
            "tls.cert: none.pem: cannot read it: No such file or directory (os error 2)",
        ),
        (
            "cert: gateway.pem, key: none.key",
            32,
            "tls.key: none.key: cannot read it: No such file or directory (os error 2)",
        ),
        (
            "cert: der.pem, key: gateway.key",
            14,
            "tls.cert: der.pem: it is not PEM (openssl x509 -inform der -in der.pem -out FILE.pem converts DER)",
        ),
        (
            "cert: gateway.pem, key: der.key",
            32,
            "tls.key: der.key: it is not PEM (openssl pkey -inform der -in der.key -out FILE.pem converts DER)",
        ),
        (
            "cert: gateway.key, key: gateway.key",
            14,
            "tls.cert: gateway.key: there is no certificate in it (-----BEGIN CERTIFICATE----- is expected)",
        ),
        (
            "cert: gateway.pem, key: gateway.pem",
            32,
            "tls.key: gateway.pem: there is no private key in it (-----BEGIN PRIVATE KEY----- is expected)",
        ),
        (
            "cert: gateway.pem, key: locked.key",
            32,
            "tls.key: locked.key: the key has a password (openssl pkey -in locked.key -out KEY.pem writes it without)",
        ),
        (
            "cert: gateway.pem, key: other.key",
            32,
            "tls.key: other.key: this key is not that of the certificate in gateway.pem \
             (the certificate of the server comes first in its file, those of authorities after it)",
        ),
        ("cert: gateway.pem, key: broken.key", 32, "tls.key: broken.key: it is broken PEM"),
        (
            "cert: gateway.pem, key: gateway.key, client_ca: empty.pem",
            56,
            "tls.client_ca: empty.pem: it is not PEM (openssl x509 -inform der -in empty.pem -out FILE.pem converts DER)",
        ),
    ] {
        assert_eq!(check(dir, tls), format!("{}{expected}\n", place(column)), "{tls}");
    }
    assert!(
        check(dir, "cert: broken.pem, key: gateway.key").contains("tls.cert: broken.pem: it is broken: ")
    );
    assert_eq!(check(dir, "cert: gateway.pem, key: gateway.key, client_ca: ca.pem"), "good");
}

/// A new certificate is for new connections; those that are there go on. What is wrong is told, and changes nothing.
#[test]
fn a_changed_certificate_is_shown_to_new_connections() {
    let secure = Secure::start("");
    let papers = &secure.papers;
    let first = papers.certificate("gateway.pem");
    assert_eq!(secure.shown(), first);
    let bridge = secure.bridge();
    let mut clients = BOTH.map(|transport| Client::subscribed(bridge.addr(), transport, "/chat/*"));

    // The wrong key first: half a change.
    certificate(papers.dir(), CA, "next", NAMES);
    fs::copy(papers.path("next.key"), papers.path("gateway.key")).unwrap();
    eventually(SOON, "the half of a change is refused", || {
        secure.gateway.metric("halley_tls_reloads_total", &["refused"]) > 0.0
    });
    assert!(secure.gateway.log().contains("gateway.key: this key is not that of the certificate"));
    assert_eq!(secure.shown(), first);

    fs::copy(papers.path("next.pem"), papers.path("gateway.pem")).unwrap();
    eventually(SOON, "the new certificate is shown", || secure.shown() != first);
    assert_eq!(secure.shown(), papers.certificate("next.pem"));
    assert_eq!(secure.gateway.metric("halley_tls_reloads_total", &["taken"]), 1.0);

    fs::remove_file(papers.path("gateway.pem")).unwrap();
    eventually(SOON, "a file that is missing is told", || {
        secure.gateway.log().contains("gateway.pem: cannot read it")
    });
    assert_eq!(secure.shown(), papers.certificate("next.pem"));

    for client in &mut clients {
        assert_eq!(client.publish("/chat/room", &json!(1))["successful"], true);
    }
    for client in &mut clients {
        assert_eq!(client.expect_event(), ("/chat/room".to_owned(), json!(1)));
        assert_eq!(client.expect_event(), ("/chat/room".to_owned(), json!(1)));
    }
}

/// As Kubernetes changes a Secret: the files are links through a link to a folder, and that one is swapped.
#[test]
fn a_swapped_link_is_noticed() {
    let papers = Papers::new();
    certificate(papers.dir(), CA, "next", NAMES);
    let mount = papers.path("mount");
    for (version, stem) in [("..1", "gateway"), ("..2", "next")] {
        let folder = mount.join(version);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(papers.path(&format!("{stem}.pem")), folder.join("tls.crt")).unwrap();
        fs::copy(papers.path(&format!("{stem}.key")), folder.join("tls.key")).unwrap();
    }
    symlink("..1", mount.join("..data")).unwrap();
    fs::remove_file(papers.path("gateway.pem")).unwrap();
    fs::remove_file(papers.path("gateway.key")).unwrap();
    symlink("mount/..data/tls.crt", papers.path("gateway.pem")).unwrap();
    symlink("mount/..data/tls.key", papers.path("gateway.key")).unwrap();

    let secure = Secure::with(papers, "", "");
    let first = secure.shown();
    symlink("..2", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    eventually(SOON, "the new certificate is shown", || secure.shown() != first);
    assert_eq!(secure.shown(), secure.papers.certificate("next.pem"));
    assert_eq!(secure.gateway.metric("halley_tls_reloads_total", &["refused"]), 0.0);
}

/// SIGHUP has the files read at once, changed or not.
#[test]
fn sighup_reads_the_files() {
    let secure = Secure::start("");
    for times in 1..=2 {
        secure.gateway.process().signal("HUP");
        eventually(SOON, "the files are read", || {
            secure.gateway.metric("halley_tls_reloads_total", &["taken"]) >= f64::from(times)
        });
    }
    assert_eq!(secure.shown(), secure.papers.certificate("gateway.pem"));
}

/// With `client_ca` a client without a certificate, or with one by somebody else, is not let in.
#[test]
fn clients_show_a_certificate() {
    let papers = Papers::new();
    certificate(papers.dir(), CA, "friend", "DNS:friend");
    certificate(papers.dir(), STRANGER, "foe", "DNS:foe");
    let ca = papers.path(CA);
    let secure = Secure::with(papers, &format!(", client_ca: \"{}\"", ca.display()), "");
    let bridge = |stem| {
        let shake = Shake { certificate: Some(stem), ..Shake::default() };
        Bridge::start(secure.addr(), secure.papers.client(shake))
    };
    let friendly = bridge("friend");
    for transport in BOTH {
        let mut client = Client::subscribed(friendly.addr(), transport, "/chat/a");
        assert_eq!(client.publish("/chat/a", &json!(1))["successful"], true);
        client.expect_event();
    }
    for certificate in [None, Some("foe")] {
        let config = secure.papers.client(Shake { certificate, ..Shake::default() });
        let refused = block_on(async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            // With TLS 1.3 the client is done before the server has looked at its certificate.
            let mut stream = connect(secure.addr(), config).await?;
            stream.write_all(b"GET /cometd HTTP/1.1\r\nhost: h\r\n\r\n").await?;
            stream.read_u8().await
        });
        assert!(refused.is_err(), "{certificate:?}: {refused:?}");
    }
    eventually(SOON, "both are counted", || {
        secure.gateway.metric("halley_tls_handshakes_total", &["failed"]) >= 2.0
    });
}

/// Neither the old protocols, nor a certificate's private parts in the log.
#[test]
fn only_tls_1_2_and_1_3() {
    let secure = Secure::start("");
    let ca = secure.papers.path(CA);
    let addr = secure.addr().to_string();
    for (version, works) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false), ("-tls1", false)] {
        let output = std::process::Command::new("openssl")
            .args(["s_client", "-connect", &addr, version, "-cipher", "ALL:@SECLEVEL=0", "-brief", "-CAfile"])
            .arg(&ca)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.success(), works, "{version}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let key = fs::read_to_string(secure.papers.path("gateway.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!secure.gateway.log().contains(line));
}
