//! The users of the AMQP front and its virtual hosts, which only the file can tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_amqp::access::password::Hashed;
use forebay_amqp::access::permissions::{Pattern, Permissions};
use forebay_amqp::access::user::{Directory, User};
use toml::{Table, Value};

/// The key of the list of virtual hosts.
pub(crate) const VHOSTS: &str = "amqp_vhosts";
/// The key of the list of users.
pub(crate) const USERS: &str = "amqp_users";

/// Takes both lists out of the file's table. The error says where the wrong value stands, and never what it is.
pub(crate) fn take(table: &mut Table) -> Result<Arc<Directory>, String> {
    let vhosts = match table.remove(VHOSTS) {
        None => Vec::new(),
        Some(Value::Array(names)) => names
            .into_iter()
            .map(|name| match name {
                Value::String(name) if !name.is_empty() => Ok(name),
                _ => Err(format!("{VHOSTS}: expected a list of names")),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(format!("{VHOSTS}: expected a list of names")),
    };
    let users = tables(table.remove(USERS), USERS)?.into_iter().map(user).collect::<Result<Vec<_>, _>>()?;
    Directory::new(&vhosts, users).map(Arc::new).map_err(|reason| format!("{USERS}: {reason}"))
}

fn user(mut table: Table) -> Result<User, String> {
    let name = text(&mut table, "name", USERS)?;
    let place = format!("{USERS}, user {name}");
    let password = Hashed::new(&text(&mut table, "password_hash", &place)?)
        .map_err(|expected| format!("{place}: password_hash: {expected}"))?;
    let granted = tables(table.remove("permissions"), &format!("{place}: permissions"))?;
    let permissions = granted.into_iter().map(|table| granted_by(table, &place));
    let permissions = permissions.collect::<Result<BTreeMap<_, _>, _>>()?;
    refuse_rest(&table, &place)?;
    Ok(User { name, password, permissions })
}

fn granted_by(mut table: Table, place: &str) -> Result<(String, Permissions), String> {
    let vhost = text(&mut table, "vhost", place)?;
    let mut pattern = |name: &str| {
        Pattern::new(&text(&mut table, name, place)?).map_err(|reason| format!("{place}: {name}: {reason}"))
    };
    let (configure, write, read) = (pattern("configure")?, pattern("write")?, pattern("read")?);
    refuse_rest(&table, place)?;
    Ok((vhost, Permissions { configure, write, read }))
}

fn tables(value: Option<Value>, place: &str) -> Result<Vec<Table>, String> {
    let wrong = || format!("{place}: expected a list of tables");
    let Some(value) = value else { return Ok(Vec::new()) };
    let Value::Array(values) = value else { return Err(wrong()) };
    let table = |value| match value {
        Value::Table(table) => Ok(table),
        _ => Err(wrong()),
    };
    values.into_iter().map(table).collect()
}

fn text(table: &mut Table, name: &str, place: &str) -> Result<String, String> {
    match table.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(format!("{place}: {name}: expected a text")),
    }
}

/// Nothing is passed over in silence.
fn refuse_rest(table: &Table, place: &str) -> Result<(), String> {
    match table.keys().next() {
        Some(name) => Err(format!("{place}: {name}: there is no such setting")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), String> {
        take(&mut text.parse().unwrap()).map(drop)
    }

    fn shop(password_hash: &str, more: &str) -> String {
        format!(
            "amqp_vhosts = [\"shop\"]\n[[amqp_users]]\nname = \"till\"\npassword_hash = \"{password_hash}\"\n{more}"
        )
    }

    #[test]
    fn users_are_read_and_what_is_wrong_is_named_without_the_password() {
        let hash = Hashed::of(b"secret").unwrap();
        let granted =
            "[[amqp_users.permissions]]\nvhost = \"shop\"\nconfigure = \"\"\nwrite = \".*\"\nread = \".*\"";
        assert_eq!(read(""), Ok(()));
        assert_eq!(read(&shop(&hash, granted)), Ok(()));
        assert!(read(&shop("secret", granted)).unwrap_err().contains("user till: password_hash: expected"));
        assert!(!read(&shop("secret", granted)).unwrap_err().contains("secret"));
        assert!(read(&shop(&hash, "admin = true")).unwrap_err().contains("admin: there is no such setting"));
        assert!(read(&shop(&hash, &granted.replace("shop", "x"))).unwrap_err().contains("no virtual host"));
        assert!(read(&shop(&hash, &granted.replace("\".*\"", "\"(\""))).unwrap_err().contains("write"));
        assert!(read("amqp_users = 1").unwrap_err().contains("expected a list of tables"));
        assert!(read("amqp_vhosts = [1]").unwrap_err().contains("expected a list of names"));
    }
}
