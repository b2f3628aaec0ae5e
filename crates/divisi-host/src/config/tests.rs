use super::*;

const SERVICES: [&str; 3] = ["box-office", "comments", "posts"];

fn read(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::read("blog", &SERVICES, Some((Path::new("divisi.toml"), file)), variables)
}

fn mistakes(file: &str, variables: &[(&str, &str)]) -> String {
    read(file, variables).expect_err("it has a mistake").to_string()
}

#[test]
fn a_later_source_overrides_an_earlier_one_and_each_value_knows_its_own() {
    let file =
        "listen = \"0.0.0.0:80\"\n[log]\nformat = \"json\"\n[services.posts]\naddress = \"posts:7070\"\n";
    let config = read(
        file,
        &[
            ("DIVISI_LISTEN", "0.0.0.0:90"),
            ("DIVISI_SERVICES__BOX_OFFICE__LISTEN", "[::1]:7071"),
            ("DIVISI_STORE__TRANSACTION_MS", "500"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:90");
    assert_eq!(config.log.format, Format::Json);
    assert_eq!(config.data, Path::new("./blog-data"));
    assert_eq!(config.transaction_within, Duration::from_millis(500));
    assert_eq!(config.services["posts"].address.as_deref(), Some("posts:7070"));
    let sources = ["data", "listen", "log.format", "services.box-office.listen", "services.posts.address"]
        .map(|key| config.source(key).to_string());
    assert_eq!(
        sources,
        ["default", "DIVISI_LISTEN", "divisi.toml:3", "DIVISI_SERVICES__BOX_OFFICE__LISTEN", "divisi.toml:5"]
    );
}

#[test]
fn every_mistake_in_the_file_has_its_sentence() {
    let table = [
        ("listne = 1", "divisi.toml:1: unknown key `listne`; did you mean `listen`?"),
        (
            "\n\n[lgo]\nformat = \"json\"",
            "divisi.toml:4: unknown key `lgo.format`; did you mean `log.format`?",
        ),
        ("format = \"json\"", "divisi.toml:1: unknown key `format`; did you mean `log.format`?"),
        ("colour = true", "divisi.toml:1: unknown key `colour`"),
        ("[colour]", "divisi.toml:1: unknown key `colour`"),
        (
            "listen = 8080",
            "divisi.toml:1: `listen` is the number 8080, but must be an address and a port, like \
             \"127.0.0.1:8080\"",
        ),
        (
            "listen = \"localhost\"",
            "divisi.toml:1: `listen` is the string \"localhost\", but must be an address and a port, like \
             \"127.0.0.1:8080\"",
        ),
        ("data = \"\"", "divisi.toml:1: `data` is the string \"\", but must be the path of a directory"),
        (
            "log = \"json\"",
            "divisi.toml:1: `log` is the string \"json\", but is a section with `format` and `filter`",
        ),
        (
            "log.format = \"xml\"",
            "divisi.toml:1: `log.format` is the string \"xml\", but must be \"text\" or \"json\"",
        ),
        ("log.format = true", "divisi.toml:1: `log.format` is `true`, but must be \"text\" or \"json\""),
        (
            "log.filter = \"blog=loud\"",
            "divisi.toml:1: `log.filter`: `blog=loud` is not a filter for logs: error parsing level filter: \
             expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        ),
        (
            "shutdown.seconds = \"10\"",
            "divisi.toml:1: `shutdown.seconds` is the string \"10\", but must be a whole number from 1 to 3600",
        ),
        (
            "shutdown.seconds = 0.5",
            "divisi.toml:1: `shutdown.seconds` is the number 0.5, but must be a whole number from 1 to 3600",
        ),
        (
            "shutdown.seconds = -1",
            "divisi.toml:1: `shutdown.seconds` is the number -1, but must be a whole number from 1 to 3600",
        ),
        (
            "tcp.frame_bytes_max = 99999999999999999999",
            "divisi.toml:1: `tcp.frame_bytes_max` is the number 99999999999999999999, but must be a number of bytes \
             from 8192 to 1073741824",
        ),
        (
            "gateway.request_seconds = [1]",
            "divisi.toml:1: `gateway.request_seconds` is a list, but must be a whole number from 1 to 3600",
        ),
        (
            "[services.psots]\naddress = \"a:1\"",
            "divisi.toml:2: there is no service `psots`; did you mean `posts`?",
        ),
        (
            "[services.search]\naddress = \"a:1\"",
            "divisi.toml:2: there is no service `search`; the services are `box-office`, `comments` and `posts`",
        ),
        (
            "[services.posts]\nadress = \"a:1\"",
            "divisi.toml:2: unknown key `services.posts.adress`; did you mean `services.posts.address`?",
        ),
        (
            "services.posts = \"a:1\"",
            "divisi.toml:1: `services.posts` is the string \"a:1\", but is a section with `address`, `listen`, `store`, `carrier_user` and `carrier_password`",
        ),
        (
            "services.posts.address = \"http://posts\"",
            "divisi.toml:1: `services.posts.address` is the string \"http://posts\", but must be a host and a port, \
             like \"posts:7070\"",
        ),
        ("\nlisten = ", "divisi.toml:2: string values must be quoted, expected literal string"),
        ("\"a\\nb\" = 1", "divisi.toml:1: unknown key `a\\nb`"),
    ];
    for (file, sentence) in table {
        assert_eq!(mistakes(file, &[]), sentence, "for {file:?}");
    }
}

#[test]
fn every_mistake_in_the_environment_has_its_sentence() {
    let table = [
        ("DIVISI_LISTNE", "x", "DIVISI_LISTNE is not a setting; did you mean DIVISI_LISTEN?"),
        ("DIVISI_LOG_FORMAT", "json", "DIVISI_LOG_FORMAT is not a setting; did you mean DIVISI_LOG__FORMAT?"),
        ("DIVISI_COLOUR", "on", "DIVISI_COLOUR is not a setting"),
        (
            "DIVISI_SHUTDOWN__SECONDS",
            "ten",
            "DIVISI_SHUTDOWN__SECONDS is \"ten\", but must be a whole number from 1 to 3600",
        ),
        (
            "DIVISI_SERVICES__PSOTS__ADDRESS",
            "a:1",
            "DIVISI_SERVICES__PSOTS__ADDRESS: there is no service `psots`; did you mean `posts`?",
        ),
        (
            "DIVISI_LOG__FILTER",
            "blog=loud",
            "DIVISI_LOG__FILTER: `blog=loud` is not a filter for logs: error parsing level filter: \
             expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        ),
    ];
    for (name, value, sentence) in table {
        assert_eq!(mistakes("", &[(name, value)]), sentence);
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = mistakes("listne = 1\ndata = 2", &[("DIVISI_COLOUR", "on")]);
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn reserved_variables_are_no_settings() {
    let variables: Vec<_> = RESERVED.iter().filter(|name| **name != FAIL).map(|name| (*name, "x")).collect();
    assert_eq!(read("", &variables).unwrap(), Config::defaults("blog", &SERVICES));
}

#[test]
fn a_program_without_points_to_fail_at_says_so() {
    let config = read("", &[(FAIL, "commit.after=kill")]);
    if divisi_store::failpoint::COMPILED_IN {
        assert_eq!(config.unwrap(), Config::defaults("blog", &SERVICES));
    } else {
        let text = config.expect_err("nobody would be killed").to_string();
        assert!(text.starts_with("DIVISI_FAIL: this program has no points to fail at"), "{text}");
    }
}

#[test]
fn an_empty_section_says_nothing() {
    assert!(read("[log]\n[services]\n[services.posts]\n", &[]).is_ok());
}

#[test]
fn what_is_printed_can_be_read_again() {
    let config = read("listen = \"0.0.0.0:80\"\nservices.posts.address = \"[::1]:7\"\n", &[]).unwrap();
    let printed = |config: &Config| -> String {
        config.settings().iter().map(|setting| format!("{setting}\n")).collect()
    };
    let values = |config: &Config| -> Vec<String> {
        config.settings().into_iter().map(|setting| setting.key + &setting.value).collect()
    };
    let again = read(&printed(&config), &[]).unwrap();
    assert_eq!(values(&again), values(&config));
    assert_eq!(
        config.settings().len(),
        keys::all(&config).len() - 5 * SERVICES.len() + 1,
        "all but what no service was told"
    );
}

#[test]
fn a_service_may_be_a_user_of_its_own_to_the_broker() {
    let file = "carrier.user = \"all\"\ncarrier.password = \"a\"\ncarrier.credentials = \"x.creds\"\n\
                services.posts.carrier_user = \"posts\"\n";
    let config = read(file, &[("DIVISI_SERVICES__POSTS__CARRIER_PASSWORD", "secret")]).unwrap();
    let of = |service| {
        let carrier = config.carrier_of(service);
        let password = carrier.password.reveal().unwrap_or_default().to_owned();
        (carrier.user.unwrap_or_default(), password, carrier.credentials.is_some(), carrier.provisioned)
    };
    assert_eq!(of("posts"), ("posts".to_owned(), "secret".to_owned(), false, true));
    assert_eq!(of("box-office"), ("all".to_owned(), "a".to_owned(), true, false));
    let shown = format!("{config:?}{:?}", config.settings());
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(
        mistakes("services.posts.carrier_password = \"secret\"", &[]),
        "divisi.toml:1: `services.posts.carrier_password`: a password of nobody; `services.posts.carrier_user` says whose it is"
    );
    assert_eq!(
        mistakes("carrier.mechanism = \"scram\"", &[]),
        "divisi.toml:1: `carrier.mechanism` is the string \"scram\", but must be \"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\""
    );
    let slip = mistakes("services.posts.carrier_password = 7", &[]);
    assert!(slip.ends_with("must be a text; its value is not shown here"), "{slip}");
}

#[test]
fn the_command_line_goes_before_everything_and_is_named() {
    let mut config = read("data = \"a\"", &[("DIVISI_DATA", "b")]).unwrap();
    config.set_data("c".into(), "--data");
    let printed: Vec<String> = config.settings().iter().map(ToString::to_string).collect();
    assert_eq!(printed[1], format!("{:<48} # --data", "data = \"c\""));
}

#[test]
fn a_file_that_was_named_must_exist() {
    let missing = Path::new("/nonexistent/blog.toml");
    let error = Config::load("blog", &SERVICES, Some(missing)).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration file /nonexistent/blog.toml");
}
