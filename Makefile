# make dev    see it work: live sample records in a browser
# make test   everything that is checked: format, lints, unit tests, black-box tests against real Kafka
# make fuzz   ten minutes of each fuzz target; FOR=60: a minute of each
# make soak   the long versions of the load and fault tests
# make bench  what a delivery costs, beside the least that it can cost; BENCH=quick: three minutes instead of a quarter of an hour
# make instructions  instructions that the hot paths take, beside the counts that are kept; ACCEPT=1 keeps the new ones
# make image  the container image, built, run read-only as another user than root, and tried
# make clean  remove what was built here and in the cache
#
# Downloads and builds are kept in HALLEY_CACHE (default ~/.cache/halley), so that only the first run is slow.

export HALLEY_CACHE ?= $(HOME)/.cache/halley
export CARGO_TARGET_DIR ?= $(HALLEY_CACHE)/target

STEP := @scripts/step
# tests/NAME.rs are quick and run as they are built for development; tests/NAME/main.rs are black-box tests of the release build.
# The load tests want the machine for themselves.
QUICK := $(patsubst tests/%.rs,--test %,$(wildcard tests/*.rs))
BLACKBOX := $(patsubst tests/%/main.rs,--test %,$(filter-out tests/load/main.rs,$(wildcard tests/*/main.rs)))

.PHONY: help dev test fuzz soak bench instructions image clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p; /^$$/q' Makefile

dev:
	@scripts/need build demo
	$(STEP) "Build" cargo build --release --bin halley
	@exec "$$CARGO_TARGET_DIR/release/halley" dev

test:
	@scripts/need build demo kafka clients java-clients python-clients browser cometd toxiproxy kosoku
	$(STEP) "Format" cargo fmt --all --check
	$(STEP) "Lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(STEP) "Unit tests" cargo test --quiet --lib --bins $(QUICK)
	$(STEP) "Unit tests of the benchmark" cargo test --quiet --package halley-bench
	$(STEP) "Fuzz targets, a few seconds each" scripts/fuzz 5
	$(STEP) "Build of the gateway and the black-box tests" cargo test --release --no-run $(BLACKBOX) --test load
	$(STEP) "Black-box tests" cargo test --release --no-fail-fast $(BLACKBOX)
	$(STEP) "Load, start and memory" cargo test --release --test load -- --test-threads=1 --nocapture

fuzz:
	$(STEP) "Fuzz targets" scripts/fuzz $(or $(FOR),600)

soak:
	@scripts/need build kafka kosoku
	$(STEP) "Soak" cargo test --release --test load --test chaos --test tls --test autobahn -- --ignored --test-threads=1 --nocapture

bench:
	@scripts/need build kafka
	$(STEP) "Build" cargo build --release --package halley --package halley-bench --bin halley --bin halley-bench
	@exec "$$CARGO_TARGET_DIR/release/halley-bench" run $(if $(filter quick,$(BENCH)),--quick)

instructions:
	@scripts/need build valgrind
	$(STEP) "Instructions" cargo bench --quiet --package halley-bench --bench instructions -- $(if $(ACCEPT),--accept)

image:
	@scripts/need image
	$(STEP) "Image" scripts/image

clean:
	cargo clean
	rm -rf demo/node_modules tests/clients/node_modules "$$HALLEY_CACHE"
