//! Authorities, keys and certificates in PEM, by openssl.

use std::path::Path;
use std::process::Command;

/// Makes an authority in `dir`: its certificate in the file `name`, and its key in `name.key`.
pub fn authority(dir: &Path, name: &str) {
    let (subject, key) = (format!("/CN={name}"), format!("{name}.key"));
    request(dir, &["-subj", &subject, "-keyout", &key, "-out", name]);
}

/// Makes `stem.key` and `stem.pem`, a certificate for `names` (`DNS:localhost,IP:127.0.0.1`) by an authority of that directory.
pub fn certificate(dir: &Path, authority: &str, stem: &str, names: &str) {
    let by = format!("{authority}.key");
    let (subject, names) = (format!("/CN={stem}"), format!("subjectAltName={names}"));
    let (key, cert) = (format!("{stem}.key"), format!("{stem}.pem"));
    let signed = ["-CA", authority, "-CAkey", &by, "-addext", "basicConstraints=critical,CA:FALSE"];
    let named = ["-subj", &subject, "-addext", &names, "-keyout", &key, "-out", &cert];
    request(dir, &[&signed[..], &named[..]].concat());
}

/// A new key with a certificate.
fn request(dir: &Path, args: &[&str]) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    openssl(dir, &[&["req", "-x509", "-days", "2", "-nodes"], &key[..], args].concat());
}

/// Runs openssl in `dir`.
pub fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(dir).output().expect("openssl is installed");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
