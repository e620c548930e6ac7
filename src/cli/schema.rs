//! `halley schema`: what editors need to know.

use std::process::ExitCode;

use crate::{config, route};

/// Print the JSON Schema of settings or mappings, for editors
///
/// With it an editor completes keys, shows what they mean and marks mistakes while they are made. `halley check` knows more.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  halley schema settings > halley.schema.json
  halley schema mappings > routes.schema.json

Editors with the YAML language server take it from the first line of a file:
  # yaml-language-server: $schema=halley.schema.json"
)]
pub(super) struct Args {
    /// Of which file
    #[arg(value_enum)]
    of: Of,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Of {
    /// halley.yaml
    Settings,
    /// Files in mappings/
    Mappings,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let schema = match args.of {
        Of::Settings => config::schema(),
        Of::Mappings => route::schema(),
    };
    super::say(&format!("{schema:#}\n"));
    ExitCode::SUCCESS
}
