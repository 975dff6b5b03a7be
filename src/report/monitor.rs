//! How the doctor answers: people, programs, or a monitor, each of which has a form and exit statuses of its own.

use std::process::ExitCode;

use crate::error::ExitStatus;
use crate::report::status::{DoctorReport, Health};

/// The form of the doctor's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One document, as `--json`.
    Json,
    /// A line for Nagios, Icinga, Checkmk and whatever else runs monitoring plugins.
    Nagios,
    /// A line for a custom plugin of the node problem detector of Kubernetes.
    Npd,
    /// Metrics for the textfile collector of Prometheus' node exporter.
    Prometheus,
}

impl Format {
    /// Every value, in the order of help and tables.
    pub(crate) const ALL: &[Self] = &[Self::Text, Self::Json, Self::Nagios, Self::Npd, Self::Prometheus];

    /// The word that stands for it on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Nagios => "nagios",
            Self::Npd => "npd",
            Self::Prometheus => "prometheus",
        }
    }

    /// What it means, for help.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Text => "For people",
            Self::Json => "One JSON document, as --json",
            Self::Nagios => "One line with performance data, for Nagios and its kin",
            Self::Npd => "One line, for a custom plugin of node-problem-detector",
            Self::Prometheus => "Metrics, for the textfile collector of node_exporter",
        }
    }

    /// The exit status for a report.
    ///
    /// A monitoring plugin has a grade between well and broken. The node problem detector has none, and what it calls a
    /// problem may drain the node: a forgotten setting is none. Metrics carry the verdict themselves.
    pub(crate) fn status(self, report: &DoctorReport) -> ExitCode {
        match self {
            Self::Text | Self::Json => match report.verdict {
                Health::Healthy | Health::Busy => ExitStatus::Done.into(),
                Health::Leftovers | Health::Unknown => ExitStatus::Failed.into(),
                Health::Stuck => ExitStatus::Unfinished.into(),
            },
            Self::Nagios => ExitCode::from(match report.verdict {
                Health::Healthy | Health::Busy => 0,
                Health::Leftovers => 1,
                Health::Stuck => 2,
                Health::Unknown => 3,
            }),
            Self::Npd => ExitCode::from(match report.verdict {
                Health::Stuck => 1,
                Health::Healthy | Health::Busy | Health::Leftovers if report.tasks_checked => 0,
                _ => 2,
            }),
            Self::Prometheus => ExitStatus::Done.into(),
        }
    }
    /// The exit status where nothing could be found out; `None` where that is an error as of any command.
    pub(crate) fn failed(self) -> Option<ExitCode> {
        match self {
            Self::Nagios => Some(ExitCode::from(3)),
            Self::Npd => Some(ExitCode::from(2)),
            Self::Text | Self::Json | Self::Prometheus => None,
        }
    }
}
