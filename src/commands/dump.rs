//! `pcictl dump`: a copy of what `--sysroot` reads.

use std::path::{Path, PathBuf};

use crate::cli::args::DumpArgs;
use crate::dump::anonymize::Anonymizer;
use crate::dump::collector::{Collector, DumpSummary};
use crate::dump::scope::DumpScope;
use crate::dump::target::Target;
use crate::dump::{devices, files, processes};
use crate::error::{Error, ExitStatus, Result};
use crate::operation::absent::not_there;
use crate::operation::context::Context;
use crate::pci::address::PciAddress;
use crate::report::text::dump;
use crate::resolve::functions::{Resolved, Resolver, parse_selectors};
use crate::topology::fields::Fields;
use crate::topology::model::Topology;

/// So many of what could not be read are named without `--verbose`.
const SHOWN: usize = 10;

pub(crate) fn run(context: &Context, args: &DumpArgs) -> Result<ExitStatus> {
    let scope = scope(context, &args.selectors)?;
    check_place(context, &args.target)?;
    let target = Target::create(&args.target, &head(context))?;
    let names = args.anonymize.then(Anonymizer::default);
    let root = context.machine.sysfs.root();
    let mut collector =
        Collector::new(&context.machine, &scope, target, names).map_err(|error| Error::io(root.display(), &error))?;
    devices::copy(&mut collector)?;
    processes::copy(&mut collector)?;
    files::copy(&mut collector)?;
    let mut summary = collector.finish()?;
    summary.target = args.target.display().to_string();
    tell(context, &summary);
    context.output.outcome(&summary, dump::summary);
    let is_whole = summary.unread.is_empty();
    Ok(if is_whole { ExitStatus::Done } else { ExitStatus::Partly })
}

/// What was not copied, on standard error.
fn tell(context: &Context, summary: &DumpSummary) {
    for (index, unread) in summary.unread.iter().enumerate() {
        let line = format!("{}: {}", unread.path, unread.why);
        if index < SHOWN { context.output.say(&line) } else { context.output.detail(&line) }
    }
    if summary.unread.len() > SHOWN {
        let more = summary.unread.len() - SHOWN;
        context.output.say(&format!("{more} more could not be read; --verbose or --json names them"));
    }
    context.tell_notes(&summary.notes);
}

/// The functions that are asked for.
fn scope(context: &Context, texts: &[String]) -> Result<DumpScope> {
    let sysfs = &context.machine.sysfs;
    if texts.is_empty() {
        return Ok(DumpScope::everything(sysfs));
    }
    let mut resolver = Resolver::new(sysfs);
    let (mut functions, mut bridges): (Vec<PciAddress>, Vec<String>) = (Vec::new(), Vec::new());
    for selector in parse_selectors(texts)? {
        match resolver.named(&selector)? {
            Resolved::Functions(found) => functions.extend(found),
            Resolved::Absent(address) => return Err(not_there(context, &selector, address)),
            Resolved::HostBridge(path) => {
                let below = Topology::load_below(sysfs, &path)?;
                functions.extend(below.by_address().into_iter().map(|id| below.function(id).address));
                bridges.push(path);
            }
        }
    }
    context.tell_notes(&resolver.notes);
    let topology =
        Topology::load_around(sysfs, &functions, Fields { virtual_of: true, index: true, ..Fields::default() })?;
    Ok(DumpScope::of(sysfs, &topology, &functions, &bridges))
}

/// A dump inside of what it is a copy of would be copied itself.
fn check_place(context: &Context, target: &Path) -> Result<()> {
    let sysfs = &context.machine.sysfs;
    let above = match target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("."),
    };
    let cannot = |error| Error::io(format!("{}: cannot be made in {}", target.display(), above.display()), &error);
    let above = above.canonicalize().map_err(cannot)?;
    let root = sysfs.root().canonicalize().map_err(|error| Error::io(sysfs.root().display(), &error))?;
    let is_inside = |directory: &str| above.starts_with(root.join(directory));
    if if sysfs.is_dump() { above.starts_with(&root) } else { is_inside("sys") || is_inside("proc") } {
        let message = format!("{}: lies in what is to be dumped; name a place outside of it", target.display());
        return Err(Error::usage(message));
    }
    Ok(())
}

/// What the dump says of itself.
fn head(context: &Context) -> String {
    let release = context.machine.kernel_release().unwrap_or_else(|| "unknown".to_owned());
    format!("Dumped by pcictl {}; Linux {release}\n", env!("CARGO_PKG_VERSION"))
}
