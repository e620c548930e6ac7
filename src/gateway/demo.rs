//! The demo page of `halley dev`: its own files from the binary, cometd.js from disk.
//!
//! cometd.js comes by npm (`make dev`) and is read when asked for, so the build works without it.

use std::borrow::Cow;
use std::path::Path;

/// A file to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The file's bytes.
    pub body: Cow<'static, [u8]>,
}

/// Where the page imports cometd.js from; below `demo_dir` it is at the same path.
const COMETD: &str = "/node_modules/cometd/";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The file behind `path`, the path of a request without its query; `None` if there is none.
///
/// Only the page itself and the modules of npm's `cometd` under `demo_dir` can be had: no name with a
/// separator, an escape or a leading dot is looked up. Reads the disk and may block.
pub fn asset(demo_dir: &Path, path: &str) -> Option<Asset> {
    match path {
        "/" | "/index.html" => Some(embedded(HTML, include_bytes!("../../demo/index.html"))),
        "/app.js" => Some(embedded(JAVASCRIPT, include_bytes!("../../demo/app.js"))),
        "/style.css" => Some(embedded(CSS, include_bytes!("../../demo/style.css"))),
        _ => cometd(demo_dir, path.strip_prefix(COMETD)?),
    }
}

fn embedded(content_type: &'static str, body: &'static [u8]) -> Asset {
    Asset { content_type, body: Cow::Borrowed(body) }
}

fn cometd(demo_dir: &Path, name: &str) -> Option<Asset> {
    let stem = name.strip_suffix(".js")?;
    if stem.is_empty() || !stem.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let body = std::fs::read(demo_dir.join(COMETD.trim_start_matches('/')).join(name)).ok()?;
    Some(Asset { content_type: JAVASCRIPT, body: Cow::Owned(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with_cometd() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let cometd = dir.path().join("node_modules/cometd");
        std::fs::create_dir_all(&cometd).unwrap();
        for name in ["cometd.js", "Z85.js", "package.json", ".hidden.js"] {
            std::fs::write(cometd.join(name), "x").unwrap();
        }
        std::fs::write(dir.path().join("secret.js"), "x").unwrap();
        dir
    }

    #[test]
    fn the_page_is_in_the_binary() {
        let nowhere = Path::new("/nonexistent");
        for (path, content_type) in
            [("/", HTML), ("/index.html", HTML), ("/app.js", JAVASCRIPT), ("/style.css", CSS)]
        {
            let asset = asset(nowhere, path).unwrap();
            assert_eq!(asset.content_type, content_type);
            assert!(!asset.body.is_empty(), "{path}");
        }
        assert_eq!(asset(nowhere, "/node_modules/cometd/cometd.js"), None);
    }

    #[test]
    fn cometd_comes_from_disk() {
        let dir = folder_with_cometd();
        for path in ["/node_modules/cometd/cometd.js", "/node_modules/cometd/Z85.js"] {
            let asset = asset(dir.path(), path).unwrap();
            assert_eq!((asset.content_type, &*asset.body), (JAVASCRIPT, &b"x"[..]));
        }
    }

    #[test]
    fn nothing_else_can_be_had() {
        let dir = folder_with_cometd();
        for path in [
            "",
            "/package.json",
            "/secret.js",
            "/node_modules/cometd/",
            "/node_modules/cometd/.js",
            "/node_modules/cometd/.hidden.js",
            "/node_modules/cometd/package.json",
            "/node_modules/cometd/missing.js",
            "/node_modules/cometd/../../secret.js",
            "/node_modules/cometd/..%2f..%2fsecret.js",
            "/node_modules/cometd/..\\..\\secret.js",
            "/node_modules/cometd//cometd.js",
            "/node_modules/cometd/cometd.js\0.js",
            "/node_modules/other/x.js",
        ] {
            assert_eq!(asset(dir.path(), path), None, "{path:?}");
        }
    }
}
