//! The users and virtual hosts that there are.

use std::collections::{BTreeMap, BTreeSet};

use super::password::Hashed;
use super::permissions::{Pattern, Permissions};

/// The virtual host that is always there.
pub const DEFAULT_VHOST: &str = "/";
/// The user that may come in only from this machine.
pub(crate) const GUEST: &str = "guest";

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Its name.
    pub name: String,
    /// What is known of its password.
    pub password: Hashed,
    /// What it may do, by virtual host; it may not enter others.
    pub permissions: BTreeMap<String, Permissions>,
}

/// The users and virtual hosts. Without any users there is `guest`, whose password is its name and who may do everything;
/// one who is among the users is one like others, but comes in only from this machine as well.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    users: BTreeMap<String, User>,
    vhosts: BTreeSet<String>,
}

impl Directory {
    /// Puts them together. The error names what is twice or missing.
    pub fn new(vhosts: &[String], users: Vec<User>) -> Result<Self, String> {
        let vhosts: BTreeSet<_> = vhosts.iter().cloned().chain([DEFAULT_VHOST.to_owned()]).collect();
        let mut known = BTreeMap::new();
        for user in users {
            if let Some(vhost) = user.permissions.keys().find(|vhost| !vhosts.contains(*vhost)) {
                return Err(format!(
                    "user {} has permissions in {vhost}, which is no virtual host",
                    user.name
                ));
            }
            if let Some(twice) = known.insert(user.name.clone(), user) {
                return Err(format!("user {} is there twice", twice.name));
            }
        }
        Ok(Self { users: known, vhosts })
    }

    /// The names of the virtual hosts.
    pub(crate) fn vhosts(&self) -> impl Iterator<Item = &str> {
        let always = Some(DEFAULT_VHOST).filter(|name| !self.vhosts.contains(*name));
        always.into_iter().chain(self.vhosts.iter().map(String::as_str))
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// Whether `guest` comes in with its own name as password.
    pub(crate) fn has_guest(&self) -> bool {
        self.users.is_empty()
    }

    /// What a user may do in the virtual host; `None`: not even enter it.
    pub(crate) fn permissions(&self, user: &str, vhost: &str) -> Option<Permissions> {
        if self.has_guest() && user == GUEST {
            let all = Pattern::new(".*").ok()?;
            return Some(Permissions { configure: all.clone(), write: all.clone(), read: all });
        }
        self.users.get(user)?.permissions.get(vhost).cloned()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn user(name: &str, password: &str, vhost: &str) -> User {
        let pattern = || Pattern::new(".*").unwrap();
        let permissions = Permissions { configure: pattern(), write: pattern(), read: pattern() };
        User {
            name: name.to_owned(),
            password: Hashed::new(&Hashed::of(password.as_bytes()).unwrap()).unwrap(),
            permissions: [(vhost.to_owned(), permissions)].into_iter().collect(),
        }
    }

    #[test]
    fn without_users_there_is_guest_and_with_users_there_is_none_but_those() {
        let directory = Directory::default();
        assert!(directory.has_guest() && directory.permissions("guest", "/").is_some());
        assert_eq!(directory.vhosts().collect::<Vec<_>>(), ["/"]);
        let directory = Directory::new(&["shop".into()], vec![user("u", "p", "shop")]).unwrap();
        assert!(!directory.has_guest() && directory.permissions("guest", "/").is_none());
        assert!(directory.permissions("u", "shop").is_some() && directory.permissions("u", "/").is_none());
        assert_eq!(directory.vhosts().collect::<Vec<_>>(), ["/", "shop"]);
    }

    #[test]
    fn a_user_twice_and_a_virtual_host_that_is_missing_are_named() {
        let twice = vec![user("u", "p", "/"), user("u", "p", "/")];
        assert!(Directory::new(&[], twice).unwrap_err().contains("user u is there twice"));
        assert!(Directory::new(&[], vec![user("u", "p", "x")]).unwrap_err().contains("in x"));
    }
}
