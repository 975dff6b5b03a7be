//! The published JSON Schema of all documents, made from the types that are printed. Only with the feature `schema`, for
//! `cargo xtask regenerate` and for tests: the program itself has nothing of it.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::commands::{list, locks, show, tree};
use crate::doctor::task::Frame;
use crate::dump::collector::DumpSummary;
use crate::error::Error;
use crate::host::clock::Moment;
use crate::lock::holders::Holder;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::place::Place;
use crate::report::change::{PlannedChange, PlannedLock, PlannedRemoval, RemoveReport, ReplugReport, RescanReport};
use crate::report::details::DeviceValue;
use crate::report::drivers::DriverReport;
use crate::report::guard::GuardReport;
use crate::report::history::HistoryReport;
use crate::report::power::PowerReport;
use crate::report::reset::{ResetListing, ResetReport};
use crate::report::rows::{FullFunction, FunctionRow, ProtectedReport};
use crate::report::slot::{SlotIdentifyReport, SlotList, SlotOffReport, SlotOnReport, SlotRow};
use crate::report::sriov::SriovReport;
use crate::report::status::{DoctorReport, RecoverReport, StatusReport};
use crate::report::wait::WaitReport;
use crate::terminal::document::Document;
use crate::terminal::event::Event;
use crate::terminal::output::ErrorDocument;
use crate::topology::aer::AerCounters;
use crate::topology::attributes::LinkStatus;
use crate::topology::slots::SlotAddress;
use crate::topology::vf_setting::VfSetting;
use crate::usage::model::User;

/// What the schema is called by those that refer to it.
const ID: &str = "urn:pcictl:schema:1";

/// The schema of documents and of events.
pub fn schema() -> Value {
    let mut kinds =
        Kinds { generator: SchemaSettings::draft2020_12().for_serialize().into_generator(), documents: Map::new() };
    kinds.all();
    let event = kinds.generator.subschema_for::<Event<'_>>();
    let Kinds { mut generator, documents } = kinds;
    let mut definitions = generator.take_definitions(true);
    let choices: Vec<Value> =
        documents.keys().map(|kind| json!({ "$ref": format!("#/$defs/document_{kind}") })).collect();
    for (kind, schema) in documents {
        definitions.insert(format!("document_{kind}"), schema);
    }
    definitions.insert("head".to_owned(), head());
    definitions.insert("event_line".to_owned(), event_line(&event, &choices));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "What pcictl prints with --json",
        "description": "One document. With --events each line is an event_line. Keys are only ever added.",
        "oneOf": choices,
        "$defs": definitions,
    })
}

/// The kinds of documents so far.
struct Kinds {
    generator: SchemaGenerator,
    documents: Map<String, Value>,
}

impl Kinds {
    fn all(&mut self) {
        self.add::<list::Listing>();
        self.add::<list::ColumnsReport>();
        self.add::<tree::Forest>();
        self.add::<FullFunction>();
        self.add::<show::Group<'_>>();
        self.add::<ProtectedReport>();
        self.add::<PlannedRemoval>();
        self.add::<PlannedChange>();
        self.add::<PlannedLock>();
        self.add::<RemoveReport>();
        self.add::<RescanReport>();
        self.add::<ReplugReport>();
        self.add::<DriverReport>();
        self.add::<SriovReport>();
        self.add::<ResetListing>();
        self.add::<ResetReport>();
        self.add::<PowerReport>();
        self.add::<SlotList>();
        self.add::<SlotRow>();
        self.add::<SlotOnReport>();
        self.add::<SlotOffReport>();
        self.add::<SlotIdentifyReport>();
        self.add::<WaitReport>();
        self.add::<locks::Forest>();
        self.add::<StatusReport>();
        self.add::<HistoryReport>();
        self.add::<RecoverReport>();
        self.add::<DoctorReport>();
        self.add::<GuardReport>();
        self.add::<DumpSummary>();
        self.add::<ErrorDocument<'_>>();
    }

    fn add<T: Document + JsonSchema>(&mut self) {
        let body = self.generator.subschema_for::<T>();
        let document = json!({
            "allOf": [{ "$ref": "#/$defs/head" }, body],
            "properties": { "document": { "const": T::KIND } },
        });
        self.documents.insert(T::KIND.to_owned(), document);
    }
}

fn head() -> Value {
    let time = json!({ "type": "string", "format": "date-time" });
    let text_or_null = json!({ "type": ["string", "null"] });
    json!({
        "description": "What every document begins with.",
        "type": "object",
        "properties": {
            "schema": { "const": 1 },
            "document": { "description": "The kind of document.", "type": "string" },
            "version": { "description": "The version of pcictl.", "type": "string" },
            "kernel_release": text_or_null,
            "boot_id": text_or_null,
            "began": time,
            "ended": time,
            "operation_id": { "description": "The operation, if one was begun.", "type": ["string", "null"] },
            "changed": { "description": "Whether something was changed; in a plan, whether it would be.", "type": "boolean" },
        },
        "required": [
            "schema", "document", "version", "kernel_release", "boot_id", "began", "ended", "operation_id", "changed",
        ],
    })
}

fn event_line(event: &Schema, documents: &[Value]) -> Value {
    json!({
        "description": "A line of --events; the last one has the document.",
        "allOf": [event],
        "type": "object",
        "properties": {
            "time": { "type": "string", "format": "date-time" },
            "operation_id": { "type": ["string", "null"] },
            "dropped": { "description": "How many events nobody took in since the last one.", "type": "integer" },
            "report": { "oneOf": documents },
        },
        "required": ["time", "operation_id", "dropped"],
    })
}

/// Types that are printed as a text.
macro_rules! text {
    ($($type:ty, $name:literal, $description:literal;)*) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "description": $description, "type": "string" })
            }
        })*
    };
}

text! {
    PciAddress, "Address", "An address as sysfs spells it: 0000:03:00.0.";
    BusNumber, "Bus", "A domain and a bus: 0000:03.";
    Place, "Place", "A place in the device tree, whatever the bus numbers are: pci0000:00/1c.0/00.0; root is the whole machine.";
    Moment, "Moment", "A time, RFC 3339 in UTC.";
    SlotAddress, "SlotAddress", "A device or a bus: 0000:03:00, 0000:03.";
    VfSetting, "VfSetting", "A VF, what of it, and the value.";
    Frame, "Frame", "A function of the kernel, and its module.";
}

impl JsonSchema for Error {
    fn schema_name() -> Cow<'static, str> {
        "Error".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What went wrong; further keys are the facts of its kind.",
            "type": "object",
            "properties": {
                "kind": { "type": "string" },
                "message": { "description": "One line for people.", "type": "string" },
                "exit_code": { "type": "integer" },
                "hint": { "description": "What to do next.", "type": "string" },
            },
            "required": ["kind", "message", "exit_code"],
            "additionalProperties": true,
        })
    }
}

/// The keys of a [`FunctionRow`], of which a document has those that were asked for.
#[derive(JsonSchema)]
#[schemars(rename = "Function")]
#[expect(dead_code, reason = "only its shape matters")]
struct RowKeys {
    address: PciAddress,
    #[schemars(skip_serializing_if = "Option::is_none")]
    class_code: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    ids: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    subsystem: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    driver_override: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    link: Option<LinkStatus>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    serial_numbers: Option<Vec<DeviceValue>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    mac_addresses: Option<Vec<DeviceValue>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    numa_node: Option<i32>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    slot: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    iommu_group: Option<u32>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    iommu_group_members: Option<Vec<PciAddress>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    virtual_functions: Option<Vec<PciAddress>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    total_vfs: Option<u32>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    power_state: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    reset_methods: Option<Vec<String>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    aer: Option<AerCounters>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    in_use_by: Option<Vec<User>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    in_use_below: Option<Vec<User>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    holders: Option<Vec<Holder>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

impl JsonSchema for FunctionRow {
    fn schema_name() -> Cow<'static, str> {
        RowKeys::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        RowKeys::json_schema(generator)
    }
}
