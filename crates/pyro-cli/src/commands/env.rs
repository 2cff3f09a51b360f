//! `pyro env list|pull|inspect|prune`.

use pyro_api::{EnvironmentRecord, Error, Pyro};

use crate::arguments::EnvCommand;
use crate::failure::{ERROR, Format, print_json, show};
use crate::progress::Display;
use crate::stdio::print;
use crate::terminal::say;
use crate::{commands, context};

pub fn run(command: EnvCommand) -> i32 {
    let pyro = context::pyro();
    let (format, result) = match command {
        EnvCommand::List(arguments) => with(arguments.json, |format| list(&pyro, format)),
        EnvCommand::Pull(arguments) => with(arguments.json, |format| pull(&pyro, &arguments.environment, format)),
        EnvCommand::Inspect(arguments) => with(arguments.json, |format| inspect(&pyro, &arguments.environment, format)),
        EnvCommand::Prune(arguments) => with(arguments.json, |format| prune(&pyro, format)),
    };
    match result {
        Ok(code) => code,
        Err(error) => show(&error, format, ERROR),
    }
}

fn with(json: bool, run: impl FnOnce(Format) -> Result<i32, Error>) -> (Format, Result<i32, Error>) {
    let format = Format::from_flag(json);
    (format, run(format))
}

fn list(pyro: &Pyro, format: Format) -> Result<i32, Error> {
    let list = pyro.list_environments()?;
    if format == Format::Json {
        print_json(&list);
        return Ok(0);
    }
    let mut text = format!("Catalog version: {}\n", list.catalog_version);
    for environment in &list.environments {
        let state = if environment.installed { "installed" } else { "not installed" };
        text.push_str(&format!("{} [{state}] {}\n", environment.name, environment.description));
    }
    print(&text);
    Ok(0)
}

fn pull(pyro: &Pyro, name: &str, format: Format) -> Result<i32, Error> {
    pyro.inspect_environment(name)?;
    say!("[pull] phase=install environment={name}");
    let mut display = Display::default();
    let mut report = |progress| display.show("pull", &progress);
    let pulled = context::runtime()?.block_on(async {
        tokio::select! {
            biased;
            pulled = pyro.pull_environment(name, &mut report) => Some(pulled),
            _ = commands::run::interrupted() => None,
        }
    });
    display.clear();
    let Some(pulled) = pulled else {
        say!("[pull] interrupted; no half-installed environment is used, and the next pull starts from the beginning");
        return Ok(130);
    };
    let record = pulled?;
    say!("[pull] phase=ready environment={name}");
    if format == Format::Json {
        print_json(&record);
    } else {
        print(&format!("Pulled: {name}\n{}", details(&record)));
    }
    Ok(0)
}

fn inspect(pyro: &Pyro, name: &str, format: Format) -> Result<i32, Error> {
    let record = pyro.inspect_environment(name)?;
    if format == Format::Json {
        print_json(&record);
    } else {
        print(&details(&record));
    }
    Ok(0)
}

fn prune(pyro: &Pyro, format: Format) -> Result<i32, Error> {
    let record = context::runtime()?.block_on(pyro.prune_environments())?;
    if format == Format::Json {
        print_json(&record);
        return Ok(0);
    }
    let mut text = format!("Deleted {} cached environment entries.\n", record.count);
    for name in &record.deleted_environment_dirs {
        text.push_str(&format!("- {name}\n"));
    }
    print(&text);
    Ok(0)
}

fn details(record: &EnvironmentRecord) -> String {
    let packages =
        if record.default_packages.is_empty() { "none".to_owned() } else { record.default_packages.join(", ") };
    let mut lines = vec![
        format!("Environment: {}", record.name),
        format!("Version: {}", record.version),
        format!("Distribution: {} {}", record.distribution, record.distribution_version),
        format!("Installed: {}", if record.installed { "yes" } else { "no" }),
        format!("Cache dir: {}", record.cache_dir.display()),
        format!("Default packages: {packages}"),
        format!("Description: {}", record.description),
    ];
    if record.installed {
        lines.push(format!("Install dir: {}", record.install_dir.display()));
    }
    let paths = [
        ("Install manifest", &record.install_manifest),
        ("Kernel image", &record.kernel_image),
        ("Rootfs image", &record.rootfs_image),
    ];
    for (label, path) in paths {
        lines.extend(path.as_ref().map(|path| format!("{label}: {}", path.display())));
    }
    if let Some(manifest) = &record.manifest {
        lines.push(format!("Kernel: {}", manifest.kernel.release));
        lines.push(format!("Packages: {}", manifest.packages.len()));
    }
    lines.extend(record.problem.as_ref().map(|problem| format!("Problem: {problem}")));
    lines.join("\n") + "\n"
}
