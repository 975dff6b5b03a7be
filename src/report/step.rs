//! Steps of a plan, as documents have them: numbered from 1 like the text, whatever form the journal keeps them in.

use serde::{Serialize, Serializer};

use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Step};
use crate::report::text::words;

/// One write to the kernel that is planned.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct PlannedStep<'a> {
    /// Its number, counted from 1.
    step: usize,
    /// What is done, in one word.
    action: &'static str,
    /// The function that it is done to; null if it is done to a bus or a slot.
    address: Option<PciAddress>,
    /// What is done, in a few words.
    text: String,
    /// The file that is written, below /sys.
    file: &'a str,
    /// What is written.
    value: &'a str,
    /// The steps that must be done before.
    after: Vec<usize>,
}

impl<'a> PlannedStep<'a> {
    fn of((index, step): (usize, &'a Step)) -> Self {
        Self {
            step: index + 1,
            action: step.action.name(),
            address: step.action.address(),
            text: words::describe_action(&step.action),
            file: &step.file,
            value: &step.value,
            after: step.after.iter().map(|before| before + 1).collect(),
        }
    }
}

/// A write that was made to restore something.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DoneAction {
    /// What was done, in one word.
    action: &'static str,
    /// The function.
    address: Option<PciAddress>,
    /// What was done, in a few words.
    text: String,
}

/// The steps of a plan, numbered.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn numbered<S: Serializer>(steps: &[Step], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(steps.iter().enumerate().map(PlannedStep::of))
}

/// An action in words.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn in_words<S: Serializer>(action: &Action, serializer: S) -> Result<S::Ok, S::Error> {
    let text = words::describe_action(action);
    DoneAction { action: action.name(), address: action.address(), text }.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_called_as_in_the_journal() {
        let address: PciAddress = "0000:03:00.0".parse().unwrap();
        let actions = [
            Action::Unbind { address, driver: "nvme".into(), driver_override: None },
            Action::Bind { address, driver: "nvme".into() },
            Action::Remove { address },
            Action::RescanAll,
            Action::Override { address, driver: String::new(), was: None },
            Action::Probe { address, driver: None },
            Action::Set { address, file: "a".into(), value: "b".into(), was: "c".into() },
            Action::Reset { address, hits_bus: false },
            Action::ResetBelow { address },
            Action::SlotPower { slot: "1".into(), on: true, port: None, functions: Vec::new() },
        ];
        for action in actions {
            assert_eq!(serde_json::to_value(&action).unwrap()["action"], action.name());
        }
    }
}
