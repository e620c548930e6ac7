# The gateway alone, on a base without a shell: `make image` builds it, docs/container.md runs it.
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY mappings mappings
COPY demo demo
COPY bench bench
# zlib is the one library that the base below lacks. It goes where the loader looks on every architecture.
RUN --mount=type=cache,target=/build \
    CARGO_TARGET_DIR=/build cargo build --release --locked --bin halley \
    && install -D --strip /build/release/halley /out/usr/local/bin/halley \
    && install -d /out/usr/lib /out/etc/halley \
    && cp -L "$(ldd /build/release/halley | awk '/libz\.so/ { print $3 }')" /out/usr/lib/

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out /
# halley.yaml and mappings/ are mounted here. Nothing is ever written, so the root file system may be read-only.
WORKDIR /etc/halley
USER 65532:65532
EXPOSE 8080 9080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/local/bin/halley", "health"]
ENTRYPOINT ["/usr/local/bin/halley"]
CMD ["serve"]
