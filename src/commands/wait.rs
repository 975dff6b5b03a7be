//! `pcictl wait`: waits by events until functions are there, gone, bound or ready; takes no lock and changes nothing.
//!
//! Events say when to look, and what counts is what sysfs shows then: first it is listened, then looked, so that nothing
//! that happens in between is missed. Nothing is read that waits for a driver.
//!
//! Not promised: that a driver which was probing already when the wait began has ended its probe; that it is still so
//! when pcictl has ended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::wait::WaitArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::execute::signals::Signals;
use crate::host::uevent::{Events, UeventLog};
use crate::operation::context::Context;
use crate::operation::options::Condition;
use crate::operation::progress::Progress;
use crate::operation::removal_record;
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::pci::selector::Selector;
use crate::report::text::wait::met;
use crate::report::wait::{BoundFunction, MetSelector, WaitReport};
use crate::resolve::functions::{Resolved, Resolver, parse_selectors};
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::{FunctionId, Topology};
use crate::verify::readiness::{Awaited, Readiness};
use crate::verify::record::DeviceRecord;
use crate::verify::settle::{Pending, WatchSettle, settle};

pub(crate) fn run(context: &Context, args: &WaitArgs) -> Result<ExitStatus> {
    let selectors = parse_selectors(&args.selectors)?;
    let is_dump = context.machine.sysfs.is_dump();
    let longest = args.timeout.unwrap_or(if is_dump { Duration::ZERO } else { Duration::MAX });
    let begun = Instant::now();
    let _signals = Signals::listen().map_err(|error| Error::io("cannot listen to signals", &error))?;
    let mut events = if is_dump { Events::deaf() } else { Events::listen() };
    let mut wait = Wait::begin(context, args.condition())?;
    let met_now = RefCell::default();
    let mut told = Told { context, progress: Progress::on(context.output), last: Vec::new() };
    let pending = settle(&mut events, longest, &mut told, |heard| {
        let (met, pending) = wait.look(&selectors, heard)?;
        *met_now.borrow_mut() = met;
        Ok(pending)
    })?;
    if !pending.is_empty() {
        return Err(not_so(&pending, longest, events.heard().interrupted()));
    }
    let driver = if let Condition::Driver(driver) = &wait.condition { Some(driver.clone()) } else { None };
    let condition = wait.condition.name();
    let waited_seconds = begun.elapsed().as_secs_f64();
    let report = WaitReport { condition, driver, waited_seconds, selectors: met_now.take() };
    context.output.outcome(&report, met);
    Ok(ExitStatus::Done)
}

/// The error for what is missing at the end.
fn not_so(pending: &[Pending], longest: Duration, interrupted: bool) -> Error {
    /// More than these nobody reads.
    const SHOWN: usize = 6;
    let all: Vec<String> = pending.iter().map(ToString::to_string).collect();
    let mut missing = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > SHOWN {
        missing.push_str(&format!("; and {} more", all.len() - SHOWN));
    }
    let (kind, message) = match longest {
        _ if interrupted => (ErrorKind::Interrupted, format!("interrupted while waiting for {missing}")),
        Duration::ZERO => (ErrorKind::TimedOut, missing),
        longest => (ErrorKind::TimedOut, format!("timed out after {} s: {missing}", longest.as_secs_f64())),
    };
    Error::new(kind, message).fact("missing", all)
}

/// Says what is missing: on a terminal in a line that moves, with -v a line whenever it is something else.
struct Told<'a> {
    context: &'a Context<'a>,
    progress: Progress<'a>,
    last: Vec<Pending>,
}

impl WatchSettle for Told<'_> {
    fn missing(&mut self, pending: &[Pending], waited: Duration, longest: Duration) {
        if self.last != pending {
            for lack in pending.iter().filter(|lack| !self.last.contains(lack)) {
                self.context.output.detail(&format!("waiting for {lack}"));
            }
            self.last = pending.to_vec();
        }
        self.progress.missing(pending, waited, longest);
    }

    fn done(&mut self) {
        self.progress.done();
    }
}

/// What is waited for, and what must be remembered from one look to the next.
struct Wait<'a> {
    context: &'a Context<'a>,
    condition: Condition,
    readiness: Readiness<'a>,
    /// Which driver had which function when listening had just begun: those have ended their probe, as far as can be told.
    bound: BTreeMap<PciAddress, String>,
    /// What the ledger knows of functions that are gone.
    known: BTreeMap<Place, DeviceRecord>,
}

/// What a selector stands for at one moment; else why it stands for nothing.
type Named = std::result::Result<Resolved, String>;

impl<'a> Wait<'a> {
    fn begin(context: &'a Context<'a>, condition: Condition) -> Result<Self> {
        let readiness = Readiness::new(&context.machine.sysfs);
        let mut wait = Self { context, condition, readiness, bound: BTreeMap::new(), known: BTreeMap::new() };
        if matches!(wait.condition, Condition::Driver(_) | Condition::Ready) {
            wait.bound = bound(context)?;
        }
        if wait.condition == Condition::Ready {
            let entries = removal_record::listing(context).entries;
            wait.known = order::map(entries.iter().flat_map(|entry| entry.record.with_virtual()));
        }
        Ok(wait)
    }

    /// What is so of each selector, and what is not so yet.
    fn look(&mut self, selectors: &[Selector], heard: &UeventLog) -> Result<(Vec<MetSelector>, Vec<Pending>)> {
        let sysfs = &self.context.machine.sysfs;
        let named: Vec<Named> = selectors.iter().map(|selector| self.name(selector)).collect::<Result<_>>()?;
        let functions =
            |named| if let &Ok(Resolved::Functions(ref found)) = named { found.clone() } else { Vec::new() };
        let found: Vec<PciAddress> = named.iter().flat_map(functions).collect();
        let is_ready = self.condition == Condition::Ready;
        let ids = if is_ready { IdsOf::Everyone } else { IdsOf::Nobody };
        let fields = Fields { ids, driver: true, virtual_of: is_ready, index: is_ready, buses: false };
        let topology = Topology::load_only(sysfs, &found, fields)?;
        let (mut met, mut pending) = (Vec::new(), Vec::new());
        for (selector, named) in selectors.iter().zip(named) {
            let (text, is_group) = (selector.text.clone(), selector.is_group());
            let mut seen = MetSelector { selector: text, is_group, ..MetSelector::default() };
            pending.extend(self.judge(&mut seen, named, &topology, heard)?);
            met.push(seen);
        }
        Ok((met, pending))
    }

    /// What the selector stands for. That nothing has the name is an answer, too.
    fn name(&self, selector: &Selector) -> Result<Named> {
        let mut resolver = Resolver::new(&self.context.machine.sysfs);
        match resolver.named(selector) {
            Err(error) if error.kind() == ErrorKind::NoSuchDevice => Ok(Err(error.to_string())),
            Err(error) => Err(error),
            Ok(resolved) => {
                resolver.notes.into_iter().for_each(|note| self.context.tell_once(note));
                Ok(Ok(resolved))
            }
        }
    }

    /// Notes what the selector stands for; gives what is not so of it.
    fn judge(
        &mut self,
        seen: &mut MetSelector,
        named: Named,
        topology: &Topology,
        heard: &UeventLog,
    ) -> Result<Vec<Pending>> {
        let lack = |what: String| vec![Pending { address: None, what }];
        let is_gone = self.condition == Condition::Gone;
        match named {
            Ok(Resolved::Functions(found)) if is_gone => Ok(found
                .into_iter()
                .flat_map(|address| lack(format!("{}: still there", seen.label(address))))
                .collect()),
            Ok(Resolved::Functions(found)) => {
                let there: Vec<FunctionId> = found.iter().filter_map(|address| topology.find(*address)).collect();
                if there.is_empty() {
                    // It went away between two calls.
                    return Ok(lack(format!("{}: not there", seen.selector)));
                }
                let judged = there.into_iter().filter_map(|id| self.judge_one(seen, topology, id, heard));
                Ok(judged.flat_map(lack).collect())
            }
            Ok(Resolved::HostBridge(path)) => self.judge_host_bridge(seen, &path),
            Ok(Resolved::Absent(address)) if is_gone => {
                seen.absent = Some(address);
                Ok(Vec::new())
            }
            Ok(Resolved::Absent(address)) => Ok(lack(format!("{}: not there", seen.label(address)))),
            Err(why) if is_gone => {
                seen.why = Some(why);
                Ok(Vec::new())
            }
            Err(why) => Ok(lack(why)),
        }
    }

    fn judge_host_bridge(&self, seen: &mut MetSelector, path: &str) -> Result<Vec<Pending>> {
        match self.condition {
            Condition::Present => {
                seen.host_bridge = path.rsplit('/').next().map(str::to_owned);
                Ok(Vec::new())
            }
            Condition::Gone => Ok(vec![Pending { address: None, what: format!("{}: still there", seen.selector) }]),
            Condition::Driver(_) | Condition::Ready => {
                let message = format!("{}: is a host bridge; only functions have drivers", seen.selector);
                Err(Error::usage(message).hint("name a function, or leave the option out"))
            }
        }
    }

    /// What is not so of a function that is there.
    fn judge_one(
        &mut self,
        seen: &mut MetSelector,
        topology: &Topology,
        id: FunctionId,
        heard: &UeventLog,
    ) -> Option<String> {
        let function = topology.function(id);
        let (address, driver) = (function.address, function.driver.clone());
        let what = match &self.condition {
            Condition::Present | Condition::Gone => None,
            Condition::Driver(wanted) => self.other_driver(wanted, address, driver.as_ref(), heard),
            Condition::Ready => self.not_ready(topology, id, heard),
        };
        let label = seen.label(address);
        seen.functions.push(BoundFunction { address, driver });
        what.map(|what| format!("{label}: {what}"))
    }

    fn other_driver(
        &self,
        wanted: &str,
        address: PciAddress,
        driver: Option<&Arc<str>>,
        heard: &UeventLog,
    ) -> Option<String> {
        match driver {
            None => Some(failure(address, heard).unwrap_or_else(|| format!("no driver, not {wanted}"))),
            Some(driver) if &**driver != wanted => Some(format!("bound to {driver}, not {wanted}")),
            Some(driver) => self.probing(address, driver, heard),
        }
    }

    fn not_ready(&mut self, topology: &Topology, id: FunctionId, heard: &UeventLog) -> Option<String> {
        let function = topology.function(id);
        let address = function.address;
        let lack = match &function.driver {
            None => failure(address, heard),
            Some(driver) => self.probing(address, driver, heard),
        };
        let was = self.known.get(&topology.place(id));
        // Whether its probe has ended is told already.
        lack.or_else(|| Some(self.readiness.pending(&Awaited { topology, id, was, came: false }, heard)?.what))
    }

    /// A driver's link is there before its probe has ended; of one that is new since listening began the end is heard.
    fn probing(&self, address: PciAddress, driver: &str, heard: &UeventLog) -> Option<String> {
        let is_new = self.bound.get(&address).map(String::as_str) != Some(driver) || heard.was_unbound(address);
        (is_new && !heard.has_ended_probe(address)).then(|| format!("{driver} is still probing"))
    }
}

/// Why a driver's probe failed, if the kernel said so since listening began.
fn failure(address: PciAddress, heard: &UeventLog) -> Option<String> {
    heard.failure(address).map(|why| format!("no driver, its probe failed: {why}"))
}

/// Every function that has a driver, with its name.
fn bound(context: &Context) -> Result<BTreeMap<PciAddress, String>> {
    const DRIVERS: &str = "bus/pci/devices";
    let sysfs = &context.machine.sysfs;
    let names = sysfs.names(DRIVERS).map_err(|error| Error::io(sysfs.display(DRIVERS), &error))?;
    let with_driver = |name: &String| {
        let driver = sysfs.driver(&format!("{DRIVERS}/{name}"))?;
        Some((PciAddress::from_sysfs_name(name)?, driver))
    };
    Ok(order::map(names.unwrap_or_default().iter().filter_map(with_driver)))
}
