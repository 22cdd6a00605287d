use super::*;

fn load(file: &str, env: &[(&str, &str)], flags: &Overrides) -> anyhow::Result<Config> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("parlance.toml");
    std::fs::write(&path, file).expect("a file");
    let flags = Overrides {
        config: Some(path),
        ..flags.clone()
    };
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_parts(&flags, env)
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "listen = \"file\"\ndata = \"file\"\nproject = \"file\"";
    let env = [("PARLANCE_LISTEN", "env"), ("PARLANCE_DATA", "env")];
    let flags = Overrides {
        listen: Some("flag".to_owned()),
        ..Overrides::default()
    };
    let config = load(file, &env, &flags).expect("a configuration");
    let data = config.data.to_string_lossy();
    assert_eq!(
        (config.listen.as_str(), &*data, config.project.as_str()),
        ("flag", "env", "file")
    );
}

#[test]
fn every_setting_can_be_set_by_its_variable() {
    for (name, value) in [
        ("PARLANCE_HTTP_BODY_BYTES_MAX", "1024"),
        ("PARLANCE_HTTP_CORS_ORIGINS", "http://a, http://b"),
        ("PARLANCE_LOG_FORMAT", "json"),
        ("PARLANCE_STRICT_NAMES", "true"),
        ("PARLANCE_DURABILITY", "process"),
        ("PARLANCE_MODEL", "echo"),
        ("PARLANCE_MODEL_KEY", "secret"),
        ("PARLANCE_WORKERS", "3"),
        ("PARLANCE_KEYRING_MIRROR", "/mnt/keys"),
        ("PARLANCE_KEYRING_ROOT_COMMAND", "keeper --for parlance"),
        ("PARLANCE_KEYRING_REKEY_MINUTES", "0"),
        ("PARLANCE_KEYRING_REKEY_STRICT", "false"),
    ] {
        load("", &[(name, value)], &Overrides::default()).expect(name);
    }
    let origins = load(
        "",
        &[("PARLANCE_HTTP_CORS_ORIGINS", "a, b")],
        &Overrides::default(),
    );
    assert_eq!(
        origins.expect("a configuration").http.cors_origins,
        ["a", "b"]
    );
}

#[test]
fn what_nobody_knows_is_an_error() {
    for file in [
        "lisen = \"x\"",
        "[http]\nbody = 1",
        "durability = \"none\"",
        "workers = 0",
    ] {
        load(file, &[], &Overrides::default()).expect_err(file);
    }
    load("", &[("PARLANCE_LISEN", "x")], &Overrides::default()).expect_err("an unknown variable");
}

#[test]
fn what_is_not_in_this_version_is_an_error_that_says_so() {
    for file in [
        "store = \"postgres://h/d\"",
        "store = \"oracle\"",
        "model.url = \"http://h\"",
    ] {
        load(file, &[], &Overrides::default()).expect_err(file);
    }
}

#[test]
fn a_secret_setting_does_not_show() {
    let config = load("model.key = \"hush-hush\"", &[], &Overrides::default());
    assert!(!format!("{:?}", config.expect("a configuration")).contains("hush"));
}

#[test]
fn retention_is_of_all_projects_or_of_some() {
    let kept = |text: &str, env: &[(&str, &str)], project: &str| {
        let config = load(text, env, &Overrides::default()).expect("nothing is wrong");
        config
            .retention
            .of(project)
            .map(|kept| kept.as_secs() / 86_400)
    };
    assert_eq!(kept("", &[], "default"), None);
    let all = "retention.days = 365";
    assert_eq!(kept(all, &[], "default"), Some(365));
    let some = "[retention]\ndays = 365\n[retention.projects]\nshort = 7\nlong = \"keep\"";
    for (project, days) in [("default", Some(365)), ("short", Some(7)), ("long", None)] {
        assert_eq!(kept(some, &[], project), days);
        let env = [
            ("PARLANCE_RETENTION_DAYS", "365"),
            ("PARLANCE_RETENTION_PROJECTS", "short=7, long=keep"),
        ];
        assert_eq!(kept("", &env, project), days);
    }
}

#[test]
fn a_retention_that_would_be_thought_to_hold_and_does_not_is_refused() {
    for wrong in [
        "retention.days = 0",
        "retention.days = -1",
        "retention.days = 1.5",
        "retention.hours = 3",
        "[retention.projects]\na = 0",
        "[retention.projects]\na = \"forever\"",
        "[retention.projects]\na = true",
    ] {
        assert!(load(wrong, &[], &Overrides::default()).is_err(), "{wrong}");
    }
}

#[test]
fn the_root_key_is_renewed_every_hour_where_it_can_be_and_not_said_to_be_elsewhere() {
    let every = |file: &str| {
        let config = load(file, &[], &Overrides::default()).expect(file);
        let every = config.keyring.rekey_every();
        every.map(|every| every.as_secs())
    };
    let command = "[keyring]\nroot_command = [\"keeper\"]\n";
    assert_eq!(every(""), None);
    assert_eq!(every(command), Some(3_600));
    for (minutes, wanted) in [(0, None), (5, Some(300))] {
        let file = format!("{command}rekey_minutes = {minutes}");
        assert_eq!(every(&file), wanted);
    }
    assert_eq!(every("[keyring]\nrekey_minutes = 0"), None);
    for wrong in ["rekey_minutes = 5", "rekey_strict = true"] {
        let file = format!("[keyring]\n{wrong}");
        let error = load(&file, &[], &Overrides::default()).expect_err(wrong);
        assert!(
            error.to_string().contains("needs `keyring.root_command`"),
            "{error}"
        );
    }
}
