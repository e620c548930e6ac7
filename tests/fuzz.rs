//! The fuzz targets over their corpora: whatever was found once stays right, without a fuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

#[test]
fn every_corpus_passes() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let mut inputs = 0;
        for entry in std::fs::read_dir(corpora.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let path = entry.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            // A panic names its input by that.
            println!("{}", path.display());
            target(&input);
            inputs += 1;
        }
        assert!(inputs >= 10, "{name} has a corpus: {inputs} inputs");
    }
}
