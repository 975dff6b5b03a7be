//! Options that are defined only when their command is asked for.

use std::ops::Deref;

use clap::builder::Resettable;
use clap::error::Error;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// The options of one command among many. To define those of every command takes 98 of the 220 pages that a start touches, and
/// each run asks for one.
///
/// What `derive` offers for that (`defer`) has groups of options describe the command that they are part of, and the options of
/// all commands come before its own.
#[derive(Debug)]
pub(crate) struct Lazy<A>(A);

impl<A> Deref for Lazy<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.0
    }
}

impl<A: Args> Args for Lazy<A> {
    fn augment_args(command: Command) -> Command {
        command.defer(|command| defined(command, A::augment_args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(|command| defined(command, A::augment_args_for_update))
    }
}

impl<A: FromArgMatches> FromArgMatches for Lazy<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Defines the options of a command as if that had been done before those that it inherits were passed on to it: what is its
/// own comes first in its help, and describes it.
fn defined(command: Command, define: fn(Command) -> Command) -> Command {
    let inherited = command.get_arguments().count();
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    let command = define(command).about(Resettable::from(about)).long_about(Resettable::from(long_about));
    let mut arguments: Vec<Arg> = command.get_arguments().cloned().collect();
    arguments.rotate_left(inherited);
    let mut arguments = arguments.into_iter();
    command.mut_args(|argument| arguments.next().unwrap_or(argument))
}
