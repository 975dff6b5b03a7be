//! What is written: a new directory, or a new file in the text form. Nothing outside of it is touched.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::dump::format;
use crate::error::{Error, ErrorKind, Result};

/// Where a dump goes. Paths are relative to its top, and parents come before what they hold.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    form: Form,
    /// The directory that was written to last.
    current: String,
}

#[derive(Debug)]
enum Form {
    Directory,
    Tree(BufWriter<File>),
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is there.
    Done,
    /// The text form has no way to say its name.
    Unnameable,
}

impl Target {
    /// Makes the directory, or the file if the name ends in `.tree`. Only their owner can look into them.
    ///
    /// # Errors
    /// Something is there already, or it cannot be made.
    pub(crate) fn create(path: &Path, head: &str) -> Result<Self> {
        let is_tree = path.extension().is_some_and(|extension| extension == "tree");
        let trouble = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => occupied(path, "exists already"),
            _ => Error::io(path.display(), &error),
        };
        let form = if is_tree {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(trouble)?;
            let mut file = BufWriter::new(file);
            let comment = head.lines().map(|line| format!("# {line}\n")).collect::<String>();
            file.write_all(comment.as_bytes()).map_err(trouble)?;
            Form::Tree(file)
        } else {
            match path.symlink_metadata() {
                Ok(metadata) if !metadata.is_dir() => {
                    return Err(occupied(path, "exists already, and is no directory"));
                }
                Ok(_) if fs::read_dir(path).map_err(trouble)?.next().is_some() => {
                    return Err(occupied(path, "is not empty"));
                }
                Ok(_) => {}
                Err(_) => DirBuilder::new().mode(0o700).create(path).map_err(trouble)?,
            }
            Form::Directory
        };
        let mut target = Self { path: path.to_owned(), form, current: String::new() };
        if matches!(target.form, Form::Directory) {
            target.file("pcictl-dump", head.as_bytes(), format::READABLE)?;
        }
        Ok(target)
    }

    /// Makes sure that a directory is there.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn directory(&mut self, path: &str) -> Result<Written> {
        if self.current == path {
            return Ok(Written::Done);
        }
        match &mut self.form {
            Form::Directory => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o755)
                    .create(self.path.join(path))
                    .map_err(|e| incomplete(&self.path, &e))?;
            }
            Form::Tree(file) => {
                let Some(line) = format::directory(path) else { return Ok(Written::Unnameable) };
                file.write_all(line.as_bytes()).map_err(|e| incomplete(&self.path, &e))?;
            }
        }
        path.clone_into(&mut self.current);
        Ok(Written::Done)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<Written> {
        let line = |name: &str| format::file(name, content, mode);
        let make = |path: &Path| {
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
            file.and_then(|mut file| file.write_all(content))
        };
        self.entry(path, line, make)
    }

    /// Writes a link, which may lead nowhere here.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn link(&mut self, path: &str, to: &str) -> Result<Written> {
        self.entry(path, |name| format::link(name, to), |path| symlink(to, path))
    }

    fn entry(
        &mut self,
        path: &str,
        line: impl FnOnce(&str) -> Option<String>,
        make: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Written> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !directory.is_empty() && self.directory(directory)? == Written::Unnameable {
            return Ok(Written::Unnameable);
        }
        let written = match &mut self.form {
            Form::Directory => make(&self.path.join(path)),
            Form::Tree(file) => match line(name) {
                Some(line) => file.write_all(line.as_bytes()),
                None => return Ok(Written::Unnameable),
            },
        };
        written.map_err(|error| incomplete(&self.path, &error))?;
        Ok(Written::Done)
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn finish(self) -> Result<()> {
        match self.form {
            Form::Directory => Ok(()),
            Form::Tree(mut file) => file.flush().map_err(|error| incomplete(&self.path, &error)),
        }
    }
}

fn occupied(path: &Path, how: &str) -> Error {
    Error::new(ErrorKind::Failed, format!("{}: {how}", path.display())).hint("name a directory or file that is new")
}

fn incomplete(path: &Path, error: &io::Error) -> Error {
    Error::io(format!("{}: cannot be written to its end", path.display()), error)
        .partly("what is there is not a whole dump")
        .hint(format!("remove {} and dump again where there is room", path.display()))
}
