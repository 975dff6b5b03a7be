use crate::pci::place::Place;
use crate::topology::attributes::LinkStatus;
use crate::verify::compare::{Difference, DifferenceKind, accept, compare, find_moved, keep_better};
use crate::verify::record::{Bar, DeviceRecord, Serials, VirtualRecord};

fn record() -> DeviceRecord {
    let vf = |text: &str| VirtualRecord {
        address: text.parse().unwrap(),
        driver: Some("vfio-pci".into()),
        driver_override: None,
        settings: vec!["mac 02:00:00:00:00:01".parse().unwrap(), "trust on".parse().unwrap()],
    };
    DeviceRecord {
        ids: Some("15b3:101d".into()),
        driver: Some("mlx5_core".into()),
        serials: Serials { dsn: Some("0c-42".into()), nvme: None, mac: vec!["0c:42:a1:10:00:02".into()] },
        link: Some(LinkStatus {
            speed: Some(16.0),
            width: Some(16),
            max_speed: Some(16.0),
            max_width: Some(16),
            asleep: false,
        }),
        bars: vec![Bar { index: 0, size: 32 << 20, assigned: true }],
        iommu_group: Some(4),
        vfs: vec![vf("0000:02:00.1"), vf("0000:02:00.2")],
        names: [("net".to_owned(), vec!["ens2np0".to_owned()])].into(),
        ..DeviceRecord::at(Place::from_chain("pci0000:00/02.0/00.0").unwrap(), "0000:02:00.0".parse().unwrap())
    }
}

/// What changes, and the lines that must come of it: kind, what, old, new, and whether it matters.
fn found(change: impl FnOnce(&mut DeviceRecord)) -> Vec<String> {
    let mut now = record();
    change(&mut now);
    let word = |value: Option<String>| value.unwrap_or_else(|| "none".into());
    let line = |f: Difference| {
        let note = if f.matters { "" } else { " (note)" };
        format!("{}: {}: {} -> {}{note}", f.kind.name(), f.what, word(f.old), word(f.new))
    };
    compare(&record(), &now).into_iter().map(line).collect()
}

#[test]
fn what_is_as_it_was_gives_nothing() {
    assert!(found(|_| {}).is_empty());
}

#[test]
fn every_kind_of_difference_is_told_with_old_and_new() {
    let address = found(|now| now.address.bus = 5);
    assert_eq!(address, ["moved: address: 0000:02:00.0 -> 0000:05:00.0"]);
    assert_eq!(found(|now| now.ids = Some("15b3:1017".into())), ["device: ids: 15b3:101d -> 15b3:1017"]);
    assert_eq!(found(|now| now.serials.dsn = Some("0c-43".into())), ["device: serial number: 0c-42 -> 0c-43"]);
    assert_eq!(
        found(|now| now.serials.mac = vec!["0c:42:a1:10:00:09".into()]),
        ["device: MAC: 0c:42:a1:10:00:02 -> 0c:42:a1:10:00:09"]
    );
    assert_eq!(found(|now| now.driver = None), ["driver: driver: mlx5_core -> none"]);
    assert_eq!(found(|now| now.bars.clear()), ["bars: BAR 0: 32 MiB -> not assigned"]);
    assert_eq!(found(|now| now.bars[0].assigned = false), ["bars: BAR 0: 32 MiB -> not assigned"]);
    assert_eq!(found(|now| now.bars[0].size = 16 << 20), ["bars: BAR 0: 32 MiB -> 16 MiB"]);
    assert_eq!(found(|now| now.vfs.truncate(1)), ["vfs: VFs: 2 -> 1"]);
    assert_eq!(
        found(|now| now.vfs[1].driver = Some("mlx5_core".into())),
        ["vfs: driver of VF 0000:02:00.2: vfio-pci -> mlx5_core"]
    );
    assert_eq!(
        found(|now| now.vfs[1].settings[0] = "mac 00:00:00:00:00:00".parse().unwrap()),
        ["vfs: MAC of VF 0000:02:00.2: 02:00:00:00:00:01 -> 00:00:00:00:00:00"]
    );
    assert_eq!(found(|now| now.vfs[1].settings.clear()), [""; 0], "it may be as it was");
    assert_eq!(found(|now| now.names.clear()), ["names: net: ens2np0 -> none"]);
    assert_eq!(
        found(|now| now.names = [("net".to_owned(), vec!["eth0".to_owned()])].into()),
        ["names: net: ens2np0 -> eth0"]
    );
    assert_eq!(found(|now| now.iommu_group = Some(9)), ["iommu: IOMMU group: 4 -> 9 (note)"]);
    assert_eq!(found(|now| now.iommu_group = None), ["iommu: IOMMU group: 4 -> none"]);
}

#[test]
fn a_link_is_told_when_it_is_worse_and_only_then() {
    let with = |speed: f64, width: u32| {
        move |now: &mut DeviceRecord| {
            now.link = Some(LinkStatus { speed: Some(speed), width: Some(width), ..LinkStatus::default() })
        }
    };
    assert_eq!(found(with(2.5, 1)), ["link: link: 16 GT/s x16 -> 2.5 GT/s x1"]);
    assert_eq!(found(with(16.0, 8)), ["link: link: 16 GT/s x16 -> 16 GT/s x8"]);
    assert_eq!(found(with(8.0, 16)), ["link: link: 16 GT/s x16 -> 8 GT/s x16"]);
    assert!(found(with(32.0, 16)).is_empty());
    assert!(found(|now| now.link = None).is_empty(), "asleep: not known");
    assert!(
        found(|now| {
            with(2.5, 1)(now);
            now.address.function = 1;
        })
        .iter()
        .all(|line| !line.starts_with("link"))
    );
}

#[test]
fn what_is_not_told_now_is_no_difference() {
    assert!(found(|now| now.serials = Serials::default()).is_empty());
}

#[test]
fn accepting_a_kind_makes_it_not_matter() {
    let mut now = record();
    (now.driver, now.vfs) = (None, Vec::new());
    let mut findings = compare(&record(), &now);
    accept(&mut findings, &[DifferenceKind::Driver]);
    assert_eq!(
        findings.iter().map(|f| (f.kind, f.matters)).collect::<Vec<_>>(),
        [(DifferenceKind::Driver, false), (DifferenceKind::Vfs, true)]
    );
}

#[test]
fn a_device_is_found_elsewhere_by_its_serial_number_only() {
    let was = record();
    let elsewhere = DeviceRecord { place: Place::from_chain("pci0000:00/03.0/00.0").unwrap(), ..record() };
    assert_eq!(find_moved(&[&was], &[&elsewhere])[&was.place], &elsewhere);
    let anonymous = DeviceRecord { serials: Serials::default(), ..elsewhere.clone() };
    assert!(find_moved(&[&was], &[&anonymous]).is_empty());
    let mut sibling = elsewhere.clone();
    sibling.address.function = 1;
    assert!(find_moved(&[&was], &[&sibling]).is_empty(), "functions of one card share its number");
    assert!(find_moved(&[&was], &[&elsewhere, &elsewhere]).is_empty(), "two of them: which one?");
}

#[test]
fn a_degraded_device_that_is_removed_again_must_come_back_as_it_was_before() {
    let mut degraded = record();
    (degraded.vfs, degraded.driver) = (Vec::new(), None);
    degraded.link = Some(LinkStatus { speed: Some(2.5), width: Some(1), ..LinkStatus::default() });
    degraded.bars[0].assigned = false;
    degraded.names.clear();
    keep_better(&mut degraded, &record());
    assert_eq!(degraded, record());
    let mut better = record();
    better.link = Some(LinkStatus { speed: Some(32.0), width: Some(16), ..LinkStatus::default() });
    let expected = better.clone();
    keep_better(&mut better, &record());
    assert_eq!(better, expected);
    let mut other = DeviceRecord { ids: Some("8086:10d3".into()), driver: None, ..record() };
    keep_better(&mut other, &record());
    assert_eq!(other.driver, None, "another device owes nothing to the one before it");
}
