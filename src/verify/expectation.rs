//! What `--expect` says must come.

use std::str::FromStr;

use crate::pci::address::PciAddress;
use crate::verify::record::DeviceRecord;

/// Conditions that one function must meet, or, with a count, that many functions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expectation {
    text: String,
    address: Option<PciAddress>,
    driver: Option<String>,
    ids: Option<String>,
    speed: Option<f64>,
    width: Option<u32>,
    count: usize,
}

/// Why a text is no expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ExpectationError(String);

impl Expectation {
    /// As it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// How many functions are still to come.
    pub(crate) fn still_missing(&self, there: &[DeviceRecord]) -> usize {
        self.count.saturating_sub(there.iter().filter(|record| self.is_met_by(record)).count())
    }

    fn is_met_by(&self, record: &DeviceRecord) -> bool {
        let link = record.link.as_ref();
        self.address.is_none_or(|address| address == record.address)
            && self.driver.as_ref().is_none_or(|driver| record.driver.as_ref() == Some(driver))
            && self.ids.as_ref().is_none_or(|ids| record.ids.as_deref().is_some_and(|has| has.starts_with(ids)))
            && self.speed.is_none_or(|least| link.and_then(|link| link.speed).is_some_and(|speed| speed >= least))
            && self.width.is_none_or(|least| link.and_then(|link| link.width).is_some_and(|width| width >= least))
    }
}

impl FromStr for Expectation {
    type Err = ExpectationError;

    fn from_str(text: &str) -> Result<Self, ExpectationError> {
        let mut expectation =
            Self { text: text.to_owned(), address: None, driver: None, ids: None, speed: None, width: None, count: 1 };
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("driver", name)) if !name.is_empty() => expectation.driver = Some(name.to_owned()),
                Some(("id", ids)) => expectation.ids = Some(parse_ids(ids)?),
                Some(("link", link)) => (expectation.speed, expectation.width) = parse_link(link)?,
                Some(("count", number)) => expectation.count = parse_count(number)?,
                None => expectation.address = Some(parse_address(part)?),
                Some(_) => return Err(ExpectationError(format!("{part:?}: give {SHAPE}"))),
            }
        }
        Ok(expectation)
    }
}

const SHAPE: &str = "ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=xLANES or link=SPEEDxLANES, count=N";

fn parse_address(text: &str) -> Result<PciAddress, ExpectationError> {
    let full = if text.matches(':').count() == 1 { format!("0000:{text}") } else { text.to_owned() };
    full.parse().map_err(|error| ExpectationError(format!("{text:?}: {error}; or give {SHAPE}")))
}

/// `8086:10d3`, or `8086:` for all of a vendor.
fn parse_ids(text: &str) -> Result<String, ExpectationError> {
    let four = |digits: &str| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.split_once(':') {
        Some((vendor, device)) if four(vendor) && (device.is_empty() || four(device)) => Ok(text.to_lowercase()),
        _ => Err(ExpectationError(format!("id={text}: give four hexadecimal digits each, as in id=8086:10d3"))),
    }
}

/// `x8`, `16x8`, `2.5x1`: at least that.
fn parse_link(text: &str) -> Result<(Option<f64>, Option<u32>), ExpectationError> {
    let wrong = || ExpectationError(format!("link={text}: give lanes, or GT/s and lanes: link=x8, link=16x8"));
    let (speed, width) = text.split_once('x').ok_or_else(wrong)?;
    let speed = if speed.is_empty() { None } else { Some(speed.parse().map_err(|_| wrong())?) };
    let width = width.parse().map_err(|_| wrong())?;
    Ok((speed, Some(width)))
}

fn parse_count(text: &str) -> Result<usize, ExpectationError> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| ExpectationError(format!("count={text}: give a number of functions, 1 or more")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::place::Place;
    use crate::topology::attributes::LinkStatus;
    use crate::verify::record::DeviceRecord;

    fn expects(text: &str) -> Expectation {
        text.parse().unwrap()
    }

    #[test]
    fn all_conditions_hold_for_one_function() {
        let record = DeviceRecord {
            driver: Some("nvme".into()),
            ids: Some("1b36:0010".into()),
            link: Some(LinkStatus { speed: Some(8.0), width: Some(4), ..LinkStatus::default() }),
            ..DeviceRecord::at(Place::root(), "0000:03:00.0".parse().unwrap())
        };
        let there = [record];
        for met in
            ["03:00.0", "0000:03:00.0,driver=nvme", "id=1b36:0010", "id=1B36:", "link=x4", "link=8x4,driver=nvme"]
        {
            assert_eq!(expects(met).still_missing(&there), 0, "{met}");
        }
        for unmet in ["03:00.1", "driver=vfio-pci", "03:00.0,driver=x", "id=1b36:0011", "link=x8", "link=16x4"] {
            assert_eq!(expects(unmet).still_missing(&there), 1, "{unmet}");
        }
        assert_eq!(expects("driver=nvme,count=3").still_missing(&there), 2);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["", "nvme", "driver=", "id=8086", "link=8", "link=x", "count=0", "size=3", "03:00.0,,"] {
            assert!(text.parse::<Expectation>().is_err(), "{text:?}");
        }
    }
}
