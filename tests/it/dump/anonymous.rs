//! Dumps in which nobody can be recognized.

use super::*;

#[test]
fn what_names_somebody_is_not_in_an_anonymous_dump() {
    let tree = Tree::load("busy");
    let nvme = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/0000:03:00.0/nvme/nvme0";
    tree.edit(&format!("{nvme}/serial"), "S64DNX0R123456      \n");
    let eth0 = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:04:00.0/net/eth0/address";
    tree.edit(eth0, "00:1b:21:aa:bb:cc\n");
    tree.edit("sys/devices/pci0000:00/0000:00:02.0/0000:05:00.0/net/eth1/address", "00:1b:21:aa:bb:cc\n");
    fs::create_dir_all(tree.path().join("dev/disk/by-id")).expect("a directory");
    symlink("../../nvme0n1", tree.path().join("dev/disk/by-id/nvme-Maker_S64DNX0R123456")).expect("a link");
    fs::create_dir_all(tree.path().join("var/lib/pcictl/ledger")).expect("a directory");
    let of = |place: &str| {
        let serials = serde_json::json!({"nvme": "S64DNX0R123456"});
        serde_json::json!({"schema": 1, "removed_at": 7, "top": place, "place": place, "address": "0000:03:00.0",
            "serials": serials})
    };
    let past = serde_json::json!([{"ended": "back", "ended_at": 8, "entry": of("pci0000:00/02.0")}]);
    let removal = serde_json::json!({"schema": 2, "entries": [of("pci0000:00/01.0")], "past": past});
    let ledger = "var/lib/pcictl/ledger/pci0000:00+01.0@7.json";
    tree.edit(ledger, removal.to_string());
    let (directory, target) = place();
    let report = dump(tree.path(), &["--anonymize"], &target);
    assert_eq!(report["anonymized"], true);
    let text_form = directory.path().join("out.tree");
    dump(tree.path(), &["--anonymize"], &text_form);
    let text = fs::read_to_string(&text_form).expect("text");
    let secrets = [
        "S64DNX0R",
        "00:1b:21:aa:bb:cc",
        "10.0.0.5",
        "192.168.1.7",
        "0100000A",
        "system-root",
        "luks-system",
        "epochs",
        "storage@example.org",
        "archive",
        "/srv/with",
        "505400fffe123456",
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}");
        for entry in walkdir::WalkDir::new(&target).into_iter().map(|entry| entry.expect("an entry")) {
            assert!(!entry.path().to_string_lossy().contains(secret), "{secret}: {}", entry.path().display());
            let content = fs::read(entry.path()).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&content).contains(secret), "{secret}: {}", entry.path().display());
        }
    }
    let read = |path: &str| fs::read_to_string(target.join(path)).expect("text");
    let mac = read(eth0);
    assert_eq!(
        mac,
        read("sys/devices/pci0000:00/0000:00:02.0/0000:05:00.0/net/eth1/address"),
        "the same one for the same"
    );
    assert!(read(&format!("{nvme}/serial")).starts_with("SN"));
    let removal: Value = serde_json::from_str(&read(ledger)).expect("JSON");
    assert!(removal["entries"][0]["serials"]["nvme"].as_str().expect("a serial").starts_with("SN"), "{removal}");

    // Who uses what is told as before, though not by which name.
    let users = |root: &Path| -> Vec<(String, String, String)> {
        let listed = told(root, &[], None).remove(0).1;
        let rows = listed["functions"].as_array().expect("functions").clone();
        let users = rows.iter().flat_map(|row| row["in_use_by"].as_array().cloned().unwrap_or_default());
        let mut users: Vec<_> = users
            .map(|user| {
                let field = |name: &str| user[name].as_str().unwrap_or_default().to_owned();
                (field("kind"), field("address"), user["process"]["pid"].to_string())
            })
            .collect();
        users.sort();
        users
    };
    assert_eq!(users(tree.path()), users(&target));
}
