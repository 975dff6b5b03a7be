//! The published JSON Schema, from the types that are printed.

use std::fs;
use std::path::Path;

use crate::generate::about;

/// Where it is below the root of the repository.
const FILE: &str = "packaging/schema/pcictl-1.json";

/// Writes it below a directory.
pub(crate) fn write(directory: &Path) -> Result<(), String> {
    let path = directory.join(FILE);
    let parent = path.parent().unwrap_or(directory);
    fs::create_dir_all(parent).map_err(about(parent))?;
    fs::write(&path, text()?).map_err(about(&path))
}

fn text() -> Result<String, String> {
    let text = serde_json::to_string_pretty(&pcictl::schema::schema()).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_that_of_the_types() {
        let committed = fs::read_to_string(crate::root().join(FILE)).expect("it is there");
        assert!(text().expect("it can be made") == committed, "{FILE} is stale; run: cargo xtask regenerate");
    }
}
