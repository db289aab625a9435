//! What the code may import: the arrows between its areas, and what never happens.

/// An area of the code, and those it may import. What these may import, it may import too.
pub(super) const ARROWS: &[(&str, &[&str])] = &[
    // The service. Its library's root and its program only name what is below them.
    (
        "switchboard::main",
        &["switchboard::commands", "switchboard"],
    ),
    ("switchboard::bin", &[]),
    (
        "switchboard::commands",
        &[
            "switchboard::cli",
            "switchboard::service",
            "switchboard_kit",
            "call_protocol::model::openai",
        ],
    ),
    ("switchboard::cli", &[]),
    (
        "switchboard::service",
        &[
            "switchboard::phone",
            "switchboard::admin",
            "switchboard_actors::budget",
        ],
    ),
    (
        "switchboard::phone",
        &[
            "switchboard::calls",
            "switchboard::listener",
            "switchboard::routes",
        ],
    ),
    (
        "switchboard::admin",
        &[
            "switchboard::calls",
            "switchboard::listener",
            "switchboard::routes",
            "switchboard_actors::events",
        ],
    ),
    (
        "switchboard::calls",
        &[
            "switchboard::agents",
            "switchboard::trust",
            "switchboard_actors::call",
        ],
    ),
    (
        "switchboard::agents",
        &[
            "switchboard::settings",
            "appointment_book",
            "switchboard_actors::tools",
        ],
    ),
    ("switchboard::trust", &["switchboard::settings"]),
    (
        "switchboard::settings",
        &[
            "switchboard_base",
            "switchboard_actors::tools",
            "call_protocol::call",
            // What OpenAI's models are called, and how a tool is told to them.
            "call_protocol::model::openai::models",
            "call_protocol::model::openai::tools",
        ],
    ),
    ("switchboard::listener", &["switchboard::telemetry"]),
    ("switchboard::routes", &[]),
    ("switchboard::telemetry", &["switchboard::settings"]),
    // The actors.
    (
        "switchboard_actors::call",
        &[
            "switchboard_actors::twilio",
            "switchboard_actors::openai",
            "switchboard_actors::down",
            "switchboard_actors::tools",
            "switchboard_actors::events",
        ],
    ),
    (
        "switchboard_actors::twilio",
        &[
            "switchboard_actors::messages",
            "switchboard_actors::websocket",
            "call_protocol::phone::twilio",
        ],
    ),
    (
        "switchboard_actors::openai",
        &[
            "switchboard_actors::messages",
            "switchboard_actors::websocket",
            "call_protocol::model::openai",
        ],
    ),
    (
        "switchboard_actors::websocket",
        &["switchboard_actors::limits", "call_protocol::wire"],
    ),
    (
        "switchboard_actors::down",
        &[
            "switchboard_actors::registry",
            "switchboard_actors::live_calls",
        ],
    ),
    (
        "switchboard_actors::registry",
        &[
            "switchboard_actors::messages",
            "switchboard_actors::admission",
        ],
    ),
    (
        "switchboard_actors::live_calls",
        &["switchboard_actors::events"],
    ),
    (
        "switchboard_actors::messages",
        &["call_protocol::call", "(what all actors stand on)"],
    ),
    (
        "switchboard_actors::admission",
        &["switchboard_actors::budget"],
    ),
    (
        "switchboard_actors::budget",
        &["switchboard_actors::admission", "switchboard_actors::store"],
    ),
    ("switchboard_actors::tools", &["switchboard_actors::store"]),
    (
        "switchboard_actors::store",
        &[
            "(what all actors stand on)",
            "call_protocol::call",
            "switchboard_base",
        ],
    ),
    (
        "switchboard_actors::events",
        &["switchboard_actors::messages"],
    ),
    // What all of them stand on.
    (
        "(what all actors stand on)",
        &["switchboard_actors::metrics", "switchboard_actors::timer"],
    ),
    (
        "switchboard_actors::metrics",
        &["switchboard_actors::failpoints", "call_protocol::call"],
    ),
    ("switchboard_actors::timer", &["switchboard_actors::limits"]),
    ("switchboard_actors::limits", &[]),
    ("switchboard_actors::failpoints", &[]),
    // The call as a value.
    (
        "call_protocol::call",
        &[
            "call_protocol::checkpoint",
            "call_protocol::model",
            "call_protocol::latency",
        ],
    ),
    ("call_protocol::call::outcome", &["call_protocol::phone"]),
    (
        "call_protocol::checkpoint",
        &[
            "call_protocol::call::outcome",
            "call_protocol::conversation",
            "call_protocol::tool",
        ],
    ),
    (
        "call_protocol::model",
        &["call_protocol::conversation", "call_protocol::tool"],
    ),
    ("call_protocol::model::openai", &["call_protocol::model"]),
    ("call_protocol::model::openai::models", &[]),
    (
        "call_protocol::model::openai::tools",
        &["call_protocol::tool"],
    ),
    ("call_protocol::conversation", &["call_protocol::phone"]),
    ("call_protocol::tool", &["call_protocol::phone"]),
    // The names of calls and streams have the form Twilio gives them.
    (
        "call_protocol::phone",
        &["call_protocol::phone::twilio::ids", "call_protocol::wire"],
    ),
    ("call_protocol::phone::twilio", &["call_protocol::phone"]),
    ("call_protocol::phone::twilio::ids", &[]),
    ("call_protocol::wire", &["call_protocol::audio"]),
    (
        "call_protocol::audio",
        &["call_protocol::ids", "call_protocol::time"],
    ),
    ("call_protocol::ids", &[]),
    ("call_protocol::time", &[]),
    ("call_protocol::latency", &[]),
    // Packages that stand by themselves.
    ("appointment_book", &["switchboard_base"]),
    ("switchboard_base", &[]),
    ("switchboard_kit", &["call_protocol::audio"]),
];

/// What an area never imports, whatever the arrows say.
pub(super) struct Never {
    pub(super) rule: &'static str,
    pub(super) who: &'static [&'static str],
    pub(super) what: &'static [&'static str],
    /// Who may all the same.
    pub(super) but: &'static [&'static str],
    /// What of it is open to everybody.
    pub(super) open: &'static [&'static str],
}

const EVERYBODY: &[&str] = &[
    "switchboard",
    "switchboard_actors",
    "call_protocol",
    "appointment_book",
    "switchboard_base",
];

pub(super) const NEVER: &[Never] = &[
    Never {
        rule: "the model knows no call",
        who: &["call_protocol::model"],
        what: &["call_protocol::call"],
        but: &[],
        open: &[],
    },
    Never {
        rule: "the ledger knows no call",
        who: &["call_protocol::phone"],
        what: &["call_protocol::call"],
        but: &[],
        open: &[],
    },
    Never {
        rule: "the machine knows no wire",
        who: &["call_protocol::call"],
        what: &[
            "call_protocol::model::openai",
            "call_protocol::phone::twilio",
        ],
        but: &[],
        open: &[],
    },
    Never {
        rule: "OpenAI's words stay in its folder",
        who: EVERYBODY,
        what: &["call_protocol::model::openai"],
        but: &[
            "call_protocol::model::openai",
            "switchboard_actors::openai",
            "switchboard::commands::check",
        ],
        open: &[
            "call_protocol::model::openai::models",
            "call_protocol::model::openai::tools",
        ],
    },
    Never {
        rule: "Twilio's words stay in its folder",
        who: EVERYBODY,
        what: &["call_protocol::phone::twilio"],
        but: &["call_protocol::phone", "switchboard_actors::twilio"],
        open: &[],
    },
    Never {
        rule: "state knows no route",
        who: &[
            "switchboard::calls",
            "switchboard::agents",
            "switchboard::trust",
            "switchboard::settings",
        ],
        what: &[
            "switchboard::phone",
            "switchboard::admin",
            "switchboard::routes",
        ],
        but: &[],
        open: &[],
    },
    Never {
        rule: "state knows no route",
        who: &[
            "switchboard::phone::state",
            "switchboard::phone::address",
            "switchboard::admin::state",
        ],
        what: &[
            "switchboard::phone::twilio",
            "switchboard::phone::media_stream",
            "switchboard::routes",
        ],
        but: &[],
        open: &[],
    },
    Never {
        rule: "the registry knows no socket",
        who: &["switchboard_actors::registry"],
        what: &[
            "switchboard_actors::twilio",
            "switchboard_actors::openai",
            "switchboard_actors::websocket",
        ],
        but: &[],
        open: &[],
    },
    Never {
        rule: "a socket owns no call",
        who: &[
            "switchboard_actors::twilio",
            "switchboard_actors::openai",
            "switchboard_actors::websocket",
        ],
        what: &["switchboard_actors::call"],
        but: &[],
        open: &[],
    },
    Never {
        rule: "the book knows no telephone",
        who: &["appointment_book"],
        what: &[
            "switchboard",
            "switchboard_actors",
            "call_protocol",
            "switchboard_kit",
            "call_protocol::model::openai",
        ],
        but: &[],
        open: &[],
    },
    Never {
        rule: "a use case knows no HTTP",
        who: &["switchboard::calls"],
        what: &["actix_web", "actix_http", "awc"],
        but: &[],
        open: &[],
    },
    Never {
        rule: "use cases alone ask the registry and the store",
        who: &["switchboard::phone", "switchboard::admin"],
        what: &["switchboard_actors::registry", "switchboard_actors::store"],
        but: &[],
        open: &[],
    },
    Never {
        rule: "agents alone have a use for the book",
        who: &["switchboard"],
        what: &["appointment_book"],
        but: &["switchboard::agents", "switchboard::commands"],
        open: &[],
    },
    Never {
        rule: "the machine asks nobody for the time",
        who: &["call_protocol"],
        what: &[
            "std::time::Instant",
            "std::time::SystemTime",
            "actix",
            "tokio",
        ],
        but: &[],
        open: &[],
    },
    Never {
        rule: "one socket is actix's",
        who: EVERYBODY,
        what: &["actix_web_actors"],
        but: &[
            "switchboard_actors::twilio::session",
            "switchboard_actors::twilio::echo",
        ],
        open: &[],
    },
    Never {
        rule: "few dial",
        who: EVERYBODY,
        what: &["awc"],
        but: &[
            "switchboard_actors::openai",
            "switchboard_actors::tools::http",
            "switchboard_actors::twilio::rest",
            "switchboard::commands::check",
            "switchboard::commands::demo",
        ],
        open: &[],
    },
];

/// Rules that are broken still, and the files that do. The list only gets shorter: what is mended must be taken off it.
pub(super) const OWED: &[(&str, &[&str])] = &[
    (
        "OpenAI's words stay in its folder",
        &["actors/src/call/report.rs"],
    ),
    (
        "a socket owns no call",
        &[
            "actors/src/openai/session.rs",
            "actors/src/twilio/session.rs",
        ],
    ),
    (
        "switchboard_actors::down does not import switchboard_actors::call",
        &["actors/src/down.rs"],
    ),
    (
        "switchboard_actors::live_calls does not import switchboard_actors::call",
        &["actors/src/live_calls.rs"],
    ),
    (
        "switchboard_actors::messages does not import switchboard_actors::call",
        &["actors/src/messages.rs"],
    ),
    (
        "switchboard_actors::messages does not import switchboard_actors::twilio",
        &["actors/src/messages.rs"],
    ),
    (
        "switchboard_actors::registry does not import switchboard_actors::call",
        &[
            "actors/src/registry/messages.rs",
            "actors/src/registry/row.rs",
        ],
    ),
    (
        "switchboard_actors::store does not import switchboard_actors::call",
        &["actors/src/store/sqlite/writer.rs"],
    ),
    (
        "the registry knows no socket",
        &[
            "actors/src/registry/media_slots.rs",
            "actors/src/registry/messages.rs",
            "actors/src/registry/mod.rs",
        ],
    ),
];
