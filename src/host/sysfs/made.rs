//! A sysfs of plain files for tests of what reads one: functions, their drivers, VFs and slots, put there and taken away.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::host::sysfs::Sysfs;

pub(crate) struct MadeTree(tempfile::TempDir);

impl MadeTree {
    pub(crate) fn with(functions: &[&str]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(tree.path("bus/pci/devices")).unwrap();
        functions.iter().for_each(|address| tree.add(address));
        tree
    }

    pub(crate) fn sysfs(&self) -> Sysfs {
        Sysfs::open(Some(self.0.path())).unwrap()
    }

    pub(crate) fn add(&self, address: &str) {
        self.add_at(address, &format!("devices/pci0000:00/{address}"));
    }

    /// A function in that directory, as below a bridge; it is not taken away again.
    pub(crate) fn add_at(&self, address: &str, directory: &str) {
        fs::create_dir_all(self.path(directory)).unwrap();
        self.link(&format!("bus/pci/devices/{address}"), &format!("../../../{directory}"));
    }

    pub(crate) fn remove(&self, address: &str) {
        fs::remove_dir_all(self.path(&format!("devices/pci0000:00/{address}"))).unwrap();
        fs::remove_file(self.path(&format!("bus/pci/devices/{address}"))).unwrap();
    }

    /// Takes the driver away that the function had, if any.
    pub(crate) fn unbind(&self, address: &str) {
        let _ = fs::remove_file(self.path(&format!("bus/pci/devices/{address}/driver")));
    }

    pub(crate) fn bind(&self, address: &str, driver: &str) {
        self.unbind(address);
        self.link(&format!("bus/pci/devices/{address}/driver"), &format!("../../../bus/pci/drivers/{driver}"));
    }

    pub(crate) fn set_vfs(&self, physical: &str, count: usize) {
        let name = |vf: usize| format!("bus/pci/devices/{physical}/virtfn{vf}");
        (0..).map_while(|vf| fs::remove_file(self.path(&name(vf))).ok()).for_each(drop);
        (0..count).for_each(|vf| self.link(&name(vf), "../a-function"));
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn link(&self, link: &str, target: &str) {
        let path = self.path(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn path(&self, below_sys: &str) -> PathBuf {
        self.0.path().join("sys").join(below_sys)
    }
}
