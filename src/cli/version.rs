//! What `--version` tells: which build this is, and what it can be put together with.

use std::sync::LazyLock;

use crate::lock::protocol::PROTOCOL;
use crate::terminal::document::SCHEMA;

/// Of Cargo.toml.
pub(crate) const SHORT: &str = env!("CARGO_PKG_VERSION");

/// The commit is what the Makefile found out when it built this; a plain `cargo build` does not know.
pub(crate) fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let commit = option_env!("PCICTL_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown");
        let libraries = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
        format!(
            "{SHORT}\ncommit {commit}\nlock protocol {PROTOCOL}, JSON schema {SCHEMA}\nbuilt for {}-linux-{}, {libraries}",
            std::env::consts::ARCH,
            if cfg!(target_env = "musl") { "musl" } else { "gnu" },
        )
    });
    &LONG
}
