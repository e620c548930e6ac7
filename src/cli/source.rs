//! Where a command's settings come from.

use std::path::PathBuf;

use crate::config::{LoadOptions, Problems, Settings};
use crate::gateway;
use crate::route::Checked;

/// The flags that every command with settings has.
#[derive(clap::Args, Debug)]
pub(super) struct Source {
    /// The settings file; halley.yaml of this folder if there is one and none is named
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// One setting, over file and environment: kafka.bootstrap.servers=broker:9092
    #[arg(short, long = "set", value_name = "SECTION.KEY=VALUE")]
    pub(super) set: Vec<String>,
}

impl Source {
    /// Where the settings are, for reading them.
    pub(super) fn options(&self) -> LoadOptions<std::env::Vars> {
        LoadOptions { config: self.config.clone(), sets: self.set.clone(), env: std::env::vars() }
    }

    /// The routes of `mappings`, files and folders, alone; if there are none, those of the settings, checked with them.
    ///
    /// # Errors
    /// Everything wrong with what was read.
    pub(super) fn routes(&self, mappings: &[PathBuf]) -> Result<Checked, Problems> {
        if mappings.is_empty() {
            let loaded = gateway::load(self.options(), None)?;
            return Ok(Checked { table: loaded.routes, warnings: loaded.warnings });
        }
        gateway::routes(&Settings { mappings: mappings.to_vec(), ..Settings::default() })
    }
}
