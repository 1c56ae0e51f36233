//! Reads the tables of docs/bench-schema.md as the schema that they are, and checks JSON against it.

use std::collections::HashMap;

use serde_json::Value;

/// The page.
pub const PAGE: &str = include_str!("../../docs/bench-schema.md");

/// Each table's name with its fields, and what type each has.
pub struct Schema(HashMap<String, Vec<(String, String)>>);

impl Schema {
    /// Of the page.
    pub fn documented() -> Self {
        let mut tables: HashMap<String, Vec<_>> = HashMap::new();
        let mut table = None;
        for line in PAGE.lines() {
            if let Some(name) = line.strip_prefix("### ") {
                table = Some(name.to_owned());
            } else if let (Some(table), Some(row)) = (&table, line.strip_prefix("| `")) {
                let (field, rest) = row.split_once("` | ").expect("a field and its type");
                let (kind, _) = rest.split_once(" |").expect("a type and a description");
                tables.entry(table.clone()).or_default().push((field.to_owned(), kind.to_owned()));
            }
        }
        Self(tables)
    }

    /// Every way in which `value` is not the object of the table `table`.
    pub fn problems(&self, value: &Value, table: &str) -> Vec<String> {
        let mut problems = Vec::new();
        self.check(table, value, table, &mut problems);
        problems
    }

    fn check(&self, path: &str, value: &Value, kind: &str, problems: &mut Vec<String>) {
        if let Some(kind) = kind.strip_suffix(" or null") {
            if !value.is_null() {
                self.check(path, value, kind, problems);
            }
            return;
        }
        if let Some(kind) = kind.strip_suffix("[]") {
            match value.as_array() {
                Some(values) => {
                    for (i, value) in values.iter().enumerate() {
                        self.check(&format!("{path}[{i}]"), value, kind, problems);
                    }
                }
                None => problems.push(format!("{path} is no array: {value}")),
            }
            return;
        }
        let right = match kind {
            "any" => true,
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64(),
            "number" => value.is_number(),
            table => return self.check_object(path, value, table, problems),
        };
        if !right {
            problems.push(format!("{path} is no {kind}: {value}"));
        }
    }

    fn check_object(&self, path: &str, value: &Value, table: &str, problems: &mut Vec<String>) {
        let fields = self.0.get(table).unwrap_or_else(|| panic!("{path}: there is no table {table}"));
        let Some(object) = value.as_object() else {
            problems.push(format!("{path} is no object: {value}"));
            return;
        };
        for (field, kind) in fields {
            let path = format!("{path}.{field}");
            match (object.get(field), kind.strip_suffix(" or absent")) {
                (Some(value), optional) => self.check(&path, value, optional.unwrap_or(kind), problems),
                (None, Some(_)) => {}
                (None, None) => problems.push(format!("{path} is missing")),
            }
        }
        let unknown = object.keys().filter(|key| fields.iter().all(|(field, _)| field != *key));
        problems.extend(unknown.map(|key| format!("{path}.{key} is not documented")));
    }
}

/// The example that the page ends with.
pub fn example() -> &'static str {
    let (_, rest) = PAGE.split_once("```json\n").expect("an example");
    rest.split_once("```").expect("an end of the example").0
}
