use parlance_upstream::openai_chat::OutputLimit;

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
        ("PARLANCE_MODEL_KEY_ENV", "KEY"),
        ("PARLANCE_MODEL_CONTEXT_TOKENS", "8192"),
        ("PARLANCE_MODEL_FIRST_BYTE_TIMEOUT_S", "30"),
        ("PARLANCE_MODEL_IDLE_TIMEOUT_S", "30"),
        ("PARLANCE_MODEL_OUTPUT_LIMIT", "max_completion_tokens"),
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
    for file in ["store = \"postgres://h/d\"", "store = \"oracle\""] {
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

#[test]
fn models_are_configured_by_name_in_the_order_of_the_file() {
    let file = "\
        [model]\nurl = \"http://h:1\"\nname = \"main\"\nkey = \"k\"\ncontext_tokens = 8192\n\
        [models.zeta]\nurl = \"https://api.openai.com/v1/\"\nname = \"gpt\"\n\
        [models.\"alpha-1.5\"]\nurl = \"http://h:2/api/v3\"\nfirst_byte_timeout_s = 9\n\
        idle_timeout_s = 8\noutput_limit = \"max_completion_tokens\"";
    let config = load(file, &[], &Overrides::default()).expect("a configuration");
    assert_eq!(config.default_model(), "main");
    let servers = config.servers().expect("servers");
    let shown: Vec<_> = servers
        .iter()
        .map(|(info, server)| {
            let waits = (
                server.patience.first_byte.as_secs(),
                server.patience.idle.as_secs(),
            );
            (
                (info.name.as_str(), info.context_tokens),
                (
                    server.url.to_string(),
                    server.name.as_str(),
                    server.key.is_some(),
                ),
                (
                    waits,
                    server.output_limit == OutputLimit::MaxCompletionTokens,
                ),
            )
        })
        .collect();
    let url = str::to_owned;
    let expected = [
        (
            ("main", Some(8192)),
            (url("http://h:1/v1"), "main", true),
            ((300, 120), false),
        ),
        (
            ("zeta", None),
            (url("https://api.openai.com/v1"), "gpt", false),
            ((300, 120), true),
        ),
        (
            ("alpha-1.5", None),
            (url("http://h:2/api/v3"), "alpha-1.5", false),
            ((9, 8), true),
        ),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn the_default_model_is_echo_or_one_that_is_configured() {
    let one = "[models.one]\nurl = \"http://h\"";
    for (file, flags, default) in [
        ("", (None, None), "echo"),
        ("", (None, Some("echo")), "echo"),
        ("", (Some("http://h"), Some("m")), "m"),
        (one, (None, None), "echo"),
        (one, (None, Some("one")), "one"),
    ] {
        let flags = Overrides {
            model_url: flags.0.map(str::to_owned),
            model_name: flags.1.map(str::to_owned),
            ..Overrides::default()
        };
        let config = load(file, &[], &flags).expect(file);
        assert_eq!(config.default_model(), default, "{file} {flags:?}");
    }
}

#[test]
fn models_that_cannot_be_asked_are_refused_and_it_is_said_why() {
    for (file, why) in [
        ("model.url = \"http://h\"", "`model.url` needs `model.name`"),
        (
            "model = { url = \"http://h\", name = \"echo\" }",
            "`model.url` needs `model.name`",
        ),
        ("model = { url = \"h:80\", name = \"m\" }", "`http://`"),
        ("model.name = \"gpt\"", "there is no model `gpt`"),
        ("models.a = { url = \"http://h?x\" }", "the model `a`"),
        ("models.a = {}", "`a` needs an `url`"),
        ("models.a = { url = \"http://h\", colour = 1 }", "colour"),
        (
            "models.a = { url = \"http://h\", idle_timeout_s = 0 }",
            "idle_timeout_s",
        ),
        ("models.echo = { url = \"http://h\" }", "`echo` is built in"),
        (
            "model = { url = \"http://h\", name = \"a\" }\nmodels.a = { url = \"http://h\" }",
            "two models",
        ),
    ] {
        let error = load(file, &[], &Overrides::default()).expect_err(file);
        let shown = format!("{error:#}");
        assert!(shown.contains(why), "{file}: {shown}");
    }
}

#[test]
fn a_key_may_stand_in_a_variable_and_is_missed_by_whoever_needs_it() {
    let file = "models.a = { url = \"http://h\", key_env = \"A_KEY\" }";
    let read = |file: &str, value: Option<&str>| {
        let mut config = load(file, &[], &Overrides::default()).expect(file);
        let variable = |name: &str| value.filter(|_| name == "A_KEY").map(str::to_owned);
        config.read_keys(variable).map(|()| config)
    };
    let config = read(file, Some("hush")).expect("a key");
    let key = config.servers().expect("servers")[0].1.key.clone();
    assert_eq!(key.expect("a key").expose(), "hush");
    config.check_keys().expect("it is there");
    for missing in [None, Some("")] {
        let config = read(file, missing).expect("a configuration");
        let error = config.check_keys().expect_err("it is missing").to_string();
        assert!(
            error.contains("`A_KEY`") && error.contains("`a`"),
            "{error}"
        );
    }
    let both = "models.a = { url = \"http://h\", key_env = \"A_KEY\", key = \"k\" }";
    read(both, None).expect_err("one of them is too much");
}

#[test]
fn the_documented_models_are_a_configuration() {
    let page = include_str!("../../../../docs/configuration.md");
    let (_, block) = page.split_once("```toml\n").expect("an example");
    let (block, _) = block.split_once("```").expect("its end");
    let config = load(block, &[], &Overrides::default()).expect(block);
    let servers = config.servers().expect("servers");
    let names: Vec<_> = servers.iter().map(|(info, _)| info.name.as_str()).collect();
    assert_eq!(
        (config.default_model(), names),
        ("qwen3", vec!["qwen3", "large", "llama-3.3"])
    );
}
