//! `pcictl lock`: any command under the locks, so that an existing script joins the protocol.
//!
//! pcictl waits for the command, which inherits the locks: whoever is in the kernel keeps them, even if pcictl is killed.
//! `--close` keeps the locks from it, so nothing that it leaves behind can hold them for ever. In return it must not outlive
//! pcictl: were pcictl killed, the kernel kills the command with it, rather than let it go on unlocked.

use std::process::ExitCode;

use crate::cli::args::LockArgs;
use crate::error::{Error, ErrorKind, Result};
use crate::execute::command::{run_under, shell_status};
use crate::lock::claims::{Claims, Mode};
use crate::operation::acquire::{LockTarget, acquire_and_reread};
use crate::operation::audit;
use crate::operation::context::Context;
use crate::operation::removal_record;
use crate::pci::address::PciAddress;
use crate::pci::ids::Ids;
use crate::pci::place::Place;
use crate::pci::selector::Selector;
use crate::plan::claims_for::Touched;
use crate::report::change::{LockedPlace, PlannedLock};
use crate::resolve::functions::{Resolved, Resolver, parse_exact_selectors};
use crate::resolve::scan_target::scan_targets;
use crate::state::journal::record::operation_id;
use crate::topology::fields::Fields;
use crate::topology::model::Topology;

pub(crate) fn run(context: &Context, args: &LockArgs) -> Result<ExitCode> {
    refuse_in_dump(context, args)?;
    let selectors = parse_exact_selectors(&args.selectors)?;
    let read = || LockRequest::read(context, &selectors, args);
    let subject = read()?;
    context.tell_notes(&subject.notes);
    if args.changing.dry_run {
        context.print_lock_plan(&planned(&subject, args));
        return Ok(ExitCode::SUCCESS);
    }
    let (held, _) = acquire_and_reread(context, &args.options(), subject, read)?;
    let is_recorded = !args.shared && !context.machine.sysfs.is_dump();
    if is_recorded {
        record(context, held.claims());
    }
    let status = run_under(&held, &args.command, !args.close);
    if is_recorded {
        match &status {
            Ok(status) => audit::end_of_command(context, shell_status(*status)),
            Err(error) => audit::end(context, Err(error)),
        }
    }
    Ok(ExitCode::from(shell_status(status?)))
}

/// Whoever looks later for what happened to a device has to know that a command ran which may have changed it.
fn record(context: &Context, claims: &Claims) {
    audit::begin(context, &operation_id(removal_record::now()), claims.tops(), &[]);
}

/// In a dumped tree nothing can be changed, but places have the same names as on this machine: its locks are not touched.
fn refuse_in_dump(context: &Context, args: &LockArgs) -> Result<()> {
    if !context.machine.sysfs.is_dump() || args.changing.dry_run || context.machine.has_own_run_directory() {
        return Ok(());
    }
    let message = "--sysroot: the places of a dumped tree are not this machine's; set PCICTL_RUN_DIR to lock them elsewhere, or add --dry-run";
    Err(Error::usage(message))
}

/// What is to be locked, as it was read at one moment.
struct LockRequest {
    claims: Claims,
    targets: Vec<LockedPlace>,
    /// What sits at and below the targets: another device in the same place is not what was meant.
    functions: Vec<(PciAddress, Option<Ids>)>,
    notes: Vec<String>,
}

impl LockRequest {
    fn read(context: &Context, selectors: &[Selector], args: &LockArgs) -> Result<Self> {
        let mut subject =
            Self { claims: Claims::default(), targets: Vec::new(), functions: Vec::new(), notes: Vec::new() };
        let mut below: Vec<Place> = Vec::new();
        if args.all {
            let topology = Topology::load_all(&context.machine.sysfs, Fields::ALL)?;
            subject.add(Place::root(), "everything was asked for".to_owned());
            if args.shared {
                subject.see(&topology, &Place::root(), &mut below);
            }
        }
        let mut resolver = Resolver::new(&context.machine.sysfs);
        for selector in selectors {
            for named in resolver.targets(selector, args.options().selection)? {
                subject.read_one(context, selector, &named, args.shared, &mut below)?;
            }
        }
        subject.notes.splice(..0, resolver.notes);
        let places = subject.targets.iter().map(|target| target.place.clone()).collect();
        subject.claims = if args.shared { Claims::reading(places, below) } else { Claims::changing(places) };
        Ok(subject)
    }

    fn read_one(
        &mut self,
        context: &Context,
        selector: &Selector,
        named: &Resolved,
        shared: bool,
        below: &mut Vec<Place>,
    ) -> Result<()> {
        let (topology, place, why) = match named {
            Resolved::Functions(found) => {
                let Some(address) = found.first() else { return Ok(()) };
                let topology = Topology::load_around(&context.machine.sysfs, found, Fields::PLAN)?;
                // One that went away between the two looks is absent like any other.
                let Some(id) = topology.find(*address) else {
                    return self.read_one(context, selector, &Resolved::Absent(*address), shared, below);
                };
                let own = topology.place(id);
                // A reader changes no number of VFs.
                let place = match Touched::by_any_change(&context.machine.sysfs, &topology, id) {
                    _ if shared => own.clone(),
                    touched => touched.exclusive(),
                };
                let why = if place == own { "sits there" } else { "may have VFs on a bus that others share" };
                (topology, place, format!("{address} {why}"))
            }
            Resolved::HostBridge(path) => {
                let topology = Topology::load_below(&context.machine.sysfs, path)?;
                let name = path.rsplit('/').next().unwrap_or_default();
                let gone =
                    || Error::new(ErrorKind::NoSuchDevice, format!("{selector}: went away while it was looked at"));
                let place =
                    topology.find_host_bridge(name).map(|id| topology.host_bridge_place(id)).ok_or_else(gone)?;
                (topology, place, "it is that host bridge".to_owned())
            }
            Resolved::Absent(_) => {
                // Whoever wants to bring it back needs what a rescan locks.
                let known = removal_record::last_seen(&removal_record::entries(context));
                let Some(target) = scan_targets(&context.machine.sysfs, named, &known)?.into_iter().next() else {
                    return Ok(());
                };
                let place = Touched::by_scan(&target).exclusive();
                self.notes.push(format!("{}; locking {place}", target.why));
                (Topology::load_below(&context.machine.sysfs, &target.bridge)?, place, target.why)
            }
        };
        self.see(&topology, &place, below);
        self.add(place, why);
        Ok(())
    }

    fn add(&mut self, place: Place, why: String) {
        self.targets.push(LockedPlace { place, why });
    }

    fn see(&mut self, topology: &Topology, top: &Place, below: &mut Vec<Place>) {
        for id in topology.by_address() {
            let place = topology.place(id);
            if !place.is_at_or_below(top) {
                continue;
            }
            let function = topology.function(id);
            self.functions.push((function.address, function.ids));
            below.push(place);
            below.extend(topology.bridges_below(id).iter().map(|bridge| topology.host_bridge_place(*bridge)));
        }
        let roots = topology.top_bridges().into_iter().map(|bridge| topology.host_bridge_place(bridge));
        below.extend(roots.filter(|place| place.is_at_or_below(top)));
    }
}

impl LockTarget for LockRequest {
    fn claims(&self) -> &Claims {
        &self.claims
    }

    fn same_devices(&self, other: &Self) -> bool {
        self.claims == other.claims && self.functions == other.functions
    }
}

fn planned(subject: &LockRequest, args: &LockArgs) -> PlannedLock {
    PlannedLock {
        targets: subject.targets.clone(),
        mode: if args.shared { Mode::Shared } else { Mode::Exclusive },
        locks: subject.claims.in_order().to_vec(),
        command: args.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
    }
}
