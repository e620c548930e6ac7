//! From settings and mapping files to what a gateway is started with; everything that is wrong, at once.

use crate::config::{LoadOptions, Problem, Problems, Settings, Tls, mapping_files, read};
use crate::kafka;
use crate::net::{Acceptor, BadFile, Files, Part};
use crate::route::{self, Checked, RouteTable, Source};

/// A checked configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The routes.
    pub routes: RouteTable,
    /// What may not be meant.
    pub warnings: Vec<Problem>,
    /// librdkafka's properties.
    pub kafka: kafka::Config,
    /// What shakes hands with clients, if `listen` is TLS.
    pub tls: Option<Acceptor>,
}

/// Reads and checks settings, mappings and librdkafka's properties. `without_mappings` gives the routes where none of
/// the places for mappings exists.
///
/// # Errors
/// Everything wrong with all of them: settings first, then mappings.
pub fn load<E: IntoIterator<Item = (String, String)>>(
    options: LoadOptions<E>,
    without_mappings: Option<fn() -> Result<Checked, Problems>>,
) -> Result<Loaded, Problems> {
    let mut reading = read(options)?;
    let mut problems = std::mem::take(&mut reading.problems);
    let properties = reading.settings.kafka.0.clone();
    let kafka = kafka::Config::new(properties, reading.settings.publish.timeout)
        .map_err(|bad| problems.extend(bad.iter().map(|bad| reading.kafka_problem(&bad.name, &bad.reason))));
    let tls = tls(&reading.settings.tls).map_err(|bad| {
        let name = match bad.part {
            Part::Cert => "tls.cert",
            Part::Key => "tls.key",
            Part::ClientCa => "tls.client_ca",
        };
        let problem = reading.problem(name, &bad.to_string());
        problems.push(match bad.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    });
    let settings = reading.settings;
    let nowhere = settings.mappings.iter().all(|path| !path.exists());
    let routes = match without_mappings {
        Some(samples) if nowhere => samples(),
        _ => routes(&settings),
    }
    .map_err(|Problems(wrong)| problems.extend(wrong));
    match (kafka, routes, tls) {
        (Ok(kafka), Ok(checked), Ok(tls)) if problems.is_empty() => {
            Ok(Loaded { settings, routes: checked.table, warnings: checked.warnings, kafka, tls })
        }
        _ => Err(Problems(problems)),
    }
}

fn tls(settings: &Tls) -> Result<Option<Acceptor>, BadFile> {
    let Tls { cert: Some(cert), key: Some(key), client_ca } = settings else { return Ok(None) };
    let files = Files { cert: cert.clone(), key: key.clone(), client_ca: client_ca.clone() };
    Acceptor::load(files).map(Some)
}

/// Reads and checks the mapping files that the settings name.
///
/// # Errors
/// Everything wrong with them.
pub fn routes(settings: &Settings) -> Result<Checked, Problems> {
    let files = mapping_files(settings)?;
    let sources: Vec<Source<'_>> = files.iter().map(|(file, text)| Source { file, text }).collect();
    route::parse(&sources)
}
