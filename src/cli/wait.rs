//! The options of `pcictl wait`.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::help;
use crate::cli::values::parse_duration;
use crate::operation::options::Condition;

/// The headings of help, in their order.
const CONDITION: &str = "Condition";
const WAITING: &str = "Waiting";

/// `pcictl wait`
#[derive(Args, Debug)]
#[command(after_help = help::WAIT)]
pub(crate) struct WaitArgs {
    /// Functions, names or host bridges to wait for, all of them; of a group, at least one function
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// Wait until it is not there
    #[arg(long, conflicts_with_all = ["driver", "ready"], help_heading = CONDITION)]
    gone: bool,
    /// Wait until it is there and bound to this driver
    #[arg(long, value_name = "NAME", conflicts_with = "ready", help_heading = CONDITION)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    driver: Option<String>,
    /// Wait until it is there and can be used: driver, disks and interfaces
    #[arg(long, help_heading = CONDITION)]
    ready: bool,
    /// How long to wait before giving up with status 124; 0 looks once [default: as long as it takes]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    #[arg(help_heading = WAITING)]
    pub(crate) timeout: Option<Duration>,
}

impl WaitArgs {
    /// What is waited for.
    pub(crate) fn condition(&self) -> Condition {
        match &self.driver {
            Some(driver) => Condition::Driver(driver.clone()),
            None if self.gone => Condition::Gone,
            None if self.ready => Condition::Ready,
            None => Condition::Present,
        }
    }
}
