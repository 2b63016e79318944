//! The command line: what there is to say, and the help that grows from the list of settings.

use clap::{Arg, Command};

use crate::commands;
use crate::config::settings::SETTINGS;

/// The whole command.
pub(crate) fn command() -> Command {
    let command = Command::new("forebay")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A cache and a durable queue that know about each other, in one daemon")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve())
        .subcommand(commands::queue::command())
        .subcommand(commands::cache::command())
        .subcommand(commands::password::command());
    #[cfg(feature = "demo")]
    let command = command.subcommand(commands::demo::command());
    command
}

fn serve() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(std::path::PathBuf))
        .help("Settings in TOML: these flags' names with _ for -, such as memory = \"1GiB\" [env: FOREBAY_CONFIG]");
    let settings = SETTINGS.iter().map(|setting| {
        let (variable, default) = (setting.variable(), (setting.default)());
        Arg::new(setting.name)
            .long(setting.flag())
            .value_name(setting.shape)
            .help(format!("{} [env: {variable}] [default: {default}]", setting.help))
    });
    Command::new("serve")
        .about("Runs the daemon")
        // A script that appends its own flag means it.
        .args_override_self(true)
        .long_about(
            "Runs the daemon until SIGTERM or SIGINT, which let requests in progress finish; a second one stops at \
             once. On SIGHUP it reads its settings again and goes on with the memcached nodes of the store that they name; \
             all other settings are those of its start.\n\nOnce it is ready it prints to standard output where it listens, and the line: ready",
        )
        .after_help(
            "A flag wins over the environment, the environment over the file.\n\nThe users of AMQP, and its virtual hosts, \
             are told by the file alone: amqp_vhosts = [\"shop\"], and for each user [[amqp_users]] with name, \
             password_hash (see forebay hash-password) and [[amqp_users.permissions]] with vhost, configure, write and \
             read, which are patterns of names. Without users there is guest, whose password is guest, from this machine.",
        )
        .arg(config)
        .args(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_has_its_flag_and_its_help_names_variable_and_default() {
        let help = serve().render_help().to_string();
        for setting in SETTINGS {
            assert!(help.contains(&format!("--{} ", setting.flag())), "{}", setting.name);
            assert!(help.contains(&setting.variable()), "{}", setting.name);
        }
        assert!(help.contains("[default: 256MiB]"), "{help}");
    }
}
