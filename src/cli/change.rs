//! The commands that change functions, and their options.

use std::time::Duration;

use clap::Args;

use crate::cli::change_help;
use crate::cli::groups::{
    Applying, BackArgs, Changing, Forcing, InPlaceArgs, Jobs, RETURN, SAFETY, SCAN, SELECTION, WAITING, Waiting,
    Writing,
};
use crate::cli::values::{parse_duration, parse_vf_count, parse_vf_mac, switch};
use crate::operation::options::{
    ChangeOptions, ForceOptions, InPlaceOptions, RemoveOptions, ReplugOptions, ResetOptions, ScanOptions,
};
use crate::pci::mac::MacAddress;
use crate::plan::power::PowerSettings;
use crate::plan::sriov::VfRequest;
use crate::resolve::siblings::Selection;

/// `pcictl remove`
#[derive(Args, Debug)]
#[command(after_help = change_help::REMOVE)]
pub(crate) struct RemoveArgs {
    /// Functions to remove, with everything below them
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) in_place: InPlaceArgs,
    /// Succeed if the device is already absent
    #[arg(long, help_heading = SELECTION)]
    pub(crate) if_present: bool,
    /// If a driver fails to stop, leave the others unbound
    #[arg(long, help_heading = SAFETY)]
    pub(crate) no_rollback: bool,
}

/// `pcictl rescan`
#[derive(Args, Debug)]
#[command(after_help = change_help::RESCAN, override_usage = "pcictl rescan [OPTIONS] <SELECTOR>...\n       \
    pcictl rescan [OPTIONS] --slot <NAME>\n       \
    pcictl rescan [OPTIONS] --all")]
pub(crate) struct RescanArgs {
    /// A bridge (scans below it), a function (scans its bus), an absent address, or a host bridge
    #[arg(value_name = "SELECTOR", required_unless_present_any = ["all", "slot"])]
    pub(crate) selectors: Vec<String>,
    /// Scan every bus of the machine
    #[arg(long, conflicts_with_all = ["selectors", "slot"], help_heading = SCAN)]
    pub(crate) all: bool,
    /// Scan the bus of a slot, even if the slot is empty
    #[arg(long, value_name = "NAME", help_heading = SCAN)]
    pub(crate) slot: Vec<String>,
    /// Print the plan without changing anything
    #[arg(short = 'n', long, help_heading = SAFETY)]
    pub(crate) dry_run: bool,
    /// Accept selectors that match more than one function
    #[arg(long, help_heading = SELECTION)]
    each: bool,
    /// How long to wait for locks.
    #[command(flatten)]
    waiting: Waiting,
    /// What to wait for, accept and restore.
    #[command(flatten)]
    pub(crate) back: BackArgs,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// `pcictl replug`
#[derive(Args, Debug)]
#[command(after_help = change_help::REPLUG)]
pub(crate) struct ReplugArgs {
    /// What a removal takes.
    #[command(flatten)]
    pub(crate) remove: RemoveArgs,
    /// Reset each function once its driver is stopped; its bus, if only that can be reset and nothing else is on it
    #[arg(long, help_heading = RETURN)]
    pub(crate) reset: bool,
    /// Switch the slot's power off and on while the device is removed
    #[arg(long, conflicts_with = "reset", help_heading = RETURN)]
    pub(crate) power_cycle: bool,
    /// Escalate if the device does not come back: the bus above, a reset of its bus, the slot's power
    #[arg(long, help_heading = RETURN)]
    pub(crate) escalate: bool,
    /// What a rescan takes.
    #[command(flatten)]
    pub(crate) back: BackArgs,
}

/// `pcictl unbind`
#[derive(Args, Debug)]
#[command(after_help = change_help::UNBIND)]
pub(crate) struct UnbindArgs {
    /// Functions whose drivers to stop; VFs of a physical function go with it
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) in_place: InPlaceArgs,
}

/// `pcictl bind`
#[derive(Args, Debug)]
#[command(after_help = change_help::BIND)]
pub(crate) struct BindArgs {
    /// Functions without a driver
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// The driver [default: whichever fits]
    #[arg(long, value_name = "NAME")]
    pub(crate) driver: Option<String>,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
    /// How many drivers at a time.
    #[command(flatten)]
    pub(crate) jobs: Jobs,
}

/// `pcictl override`
#[derive(Args, Debug)]
#[command(after_help = change_help::OVERRIDE, override_usage = "pcictl override [OPTIONS] <SELECTOR> <DRIVER>\n       \
    pcictl override [OPTIONS] <SELECTOR> --clear")]
pub(crate) struct OverrideArgs {
    /// Function, or with --each a group of them
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: String,
    /// The driver; 'none' keeps every driver away
    #[arg(value_name = "DRIVER", required_unless_present = "clear")]
    pub(crate) driver: Option<String>,
    /// Clear the override, and give the function to the driver that fits it
    #[arg(long, conflicts_with = "driver")]
    pub(crate) clear: bool,
    /// Keep it over reboots: write or remove the file that driverctl reads in /etc/driverctl.d
    #[arg(long)]
    pub(crate) persist: bool,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) in_place: InPlaceArgs,
}

/// `pcictl sriov`
#[derive(Args, Debug)]
#[command(after_help = change_help::SRIOV, override_usage = "pcictl sriov [OPTIONS] <PF>\n       \
    pcictl sriov [OPTIONS] <PF> <N>\n       \
    pcictl sriov [OPTIONS] <PF> --off\n       \
    pcictl sriov [OPTIONS] <PF> --mac <VF=MAC>...")]
pub(crate) struct SriovArgs {
    /// Physical function; without more its VFs are shown
    #[arg(value_name = "PF")]
    pub(crate) selector: String,
    /// How many VFs it is to have; those that it has go first
    #[arg(value_name = "N", value_parser = parse_vf_count)]
    pub(crate) count: Option<u16>,
    /// Take all VFs away
    #[arg(long, conflicts_with = "count")]
    pub(crate) off: bool,
    /// Whether drivers take VFs that appear (sriov_drivers_autoprobe) [default: as it is]
    #[arg(long, value_name = "WHEN", value_parser = switch())]
    pub(crate) autoprobe: Option<bool>,
    /// The driver that each VF is to have, by a driver override [default: whichever fits]
    #[arg(long, value_name = "NAME", requires = "count")]
    pub(crate) driver: Option<String>,
    /// The MAC of a VF, which is counted from 0; set before its driver is bound
    #[arg(long, value_name = "VF=MAC", value_delimiter = ',', value_parser = parse_vf_mac, conflicts_with = "off")]
    pub(crate) mac: Vec<(u32, MacAddress)>,
    /// Have the new VFs be what those before them were: MACs, other settings, driver overrides, drivers
    #[arg(long, requires = "count", conflicts_with_all = ["mac", "driver"])]
    pub(crate) restore: bool,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) applying: Applying,
    /// How long to wait for drivers, disks and interfaces of VFs
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = parse_duration)]
    #[arg(allow_negative_numbers = true, help_heading = WAITING)]
    pub(crate) settle: Duration,
    /// What may be overridden.
    #[command(flatten)]
    pub(crate) forcing: Forcing,
    /// How many drivers at a time.
    #[command(flatten)]
    pub(crate) jobs: Jobs,
}

/// `pcictl reset`
#[derive(Args, Debug)]
#[command(after_help = change_help::RESET)]
pub(crate) struct ResetArgs {
    /// Functions to reset; VFs of a physical function go and come back with it
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// Use this method, one of those that --list shows [default: the first]
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// List the methods and what each one hits, and change nothing
    #[arg(long, conflicts_with_all = ["method", "keep_driver"])]
    pub(crate) list: bool,
    /// Leave the driver at work, which must be able to bear it (reset_prepare and reset_done)
    #[arg(long)]
    pub(crate) keep_driver: bool,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) in_place: InPlaceArgs,
}

/// `pcictl power`
#[derive(Args, Debug)]
#[command(after_help = change_help::POWER)]
pub(crate) struct PowerArgs {
    /// Functions to show or change
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// Let the kernel put it to sleep when its driver has nothing to do, or keep it awake
    #[arg(long, value_name = "auto|on", value_parser = ["auto", "on"])]
    pub(crate) runtime: Option<String>,
    /// Whether it may lose its power while it sleeps
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    pub(crate) d3cold: Option<String>,
    /// Whether it may wake the machine
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    pub(crate) wakeup: Option<String>,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
}

impl RemoveArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> RemoveOptions {
        let InPlaceOptions { change, forcing, whole_device, jobs } = self.in_place.options();
        let (if_present, no_rollback) = (self.if_present, self.no_rollback);
        RemoveOptions { change, forcing, if_present, whole_device, no_rollback, jobs }
    }
}

impl ResetArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> ResetOptions {
        ResetOptions { in_place: self.in_place.options(), method: self.method.clone(), keep_driver: self.keep_driver }
    }
}

impl PowerArgs {
    /// What is to be set, as the kernel takes it.
    pub(crate) fn wanted(&self) -> PowerSettings {
        let switch = |value: &Option<String>, on, off| value.as_ref().map(|value| if value == "on" { on } else { off });
        PowerSettings {
            control: switch(&self.runtime, "on", "auto"),
            d3cold: switch(&self.d3cold, "1", "0"),
            wakeup: switch(&self.wakeup, "enabled", "disabled"),
        }
    }

    /// The same as plain values.
    pub(crate) fn options(&self) -> InPlaceOptions {
        taking_nothing(self.changing.options(self.writing.timeout), 1)
    }
}

impl BindArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> InPlaceOptions {
        taking_nothing(self.changing.options(self.writing.timeout), self.jobs.count())
    }
}

impl SriovArgs {
    /// What is asked for; nothing if the VFs are only to be shown.
    pub(crate) fn request(&self) -> VfRequest {
        let count = if self.off { Some(0) } else { self.count.map(usize::from) };
        let (autoprobe, driver) = (self.autoprobe, self.driver.clone());
        VfRequest { count, autoprobe, driver, macs: self.mac.clone(), restore: self.restore }
    }

    /// The other options as plain values. An interface of the physical function stands for all of it.
    pub(crate) fn options(&self) -> InPlaceOptions {
        InPlaceOptions {
            change: self.applying.options(),
            forcing: self.forcing.options(),
            whole_device: true,
            jobs: self.jobs.count(),
        }
    }
}

impl RescanArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> ScanOptions {
        let selection = Selection { each: self.each, ..Selection::default() };
        let (wait, timeout) = (self.waiting.limit(), self.writing.timeout);
        ScanOptions {
            change: ChangeOptions { dry_run: self.dry_run, wait, selection, timeout },
            all: self.all,
            slots: self.slot.clone(),
            settle: self.back.options(),
        }
    }
}

impl ReplugArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> ReplugOptions {
        ReplugOptions {
            remove: self.remove.options(),
            settle: self.back.options(),
            reset: self.reset,
            power_cycle: self.power_cycle,
            escalate: self.escalate,
        }
    }
}

/// Of a command that takes nothing from anybody, so that nothing has to be forced.
fn taking_nothing(change: ChangeOptions, jobs: usize) -> InPlaceOptions {
    InPlaceOptions { change, forcing: ForceOptions::default(), whole_device: true, jobs }
}
