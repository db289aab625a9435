//! Agents, tools and models in the file.

use std::path::Path;
use std::time::Duration;

use switchboard::settings::{
    ANSWER_WITHIN, Filler, Greeting, Silence, ToolKind, ToolRef, TurnDetection, Voice,
};

use super::support::{REQUIRED, accepted, agent, dev, env, refusal, with};

#[test]
fn a_full_agent_reads_as_written() {
    let settings = accepted(
        r##"
        default_agent = "spa"
        [agents.spa]
        numbers = ["+15550100"]
        instructions = "You answer the phone of a spa."
        voice = "cedar"
        language = "pt-BR"
        greeting = { mode = "wait" }
        tools = ["crm_lookup", "end_call", "transfer_call"]
        turn_detection = { type = "server_vad", threshold = 0.6, silence_duration_ms = 700, idle_timeout_ms = 8000, interrupt_response = false }
        transcription = { model = "gpt-transcribe", language = "pt" }
        model = { name = "gpt-realtime-2.1", reasoning = "low", max_output_tokens = 1200, noise_reduction = "near_field" }
        keys = { "0" = "front_desk", "#" = "front_desk" }
        mask_digits = false
        max_call_seconds = 900
        fallback = { dial = "+15550188" }
        [agents.night]
        instructions = "You answer at night."
        numbers = ["+1 555 0101"]
        voice = { id = "voice_abc123" }
        turn_detection = { type = "semantic_vad", eagerness = "high" }
        transcription = { model = "none" }
        silence = { after_ms = 8000, text = "Still there?", attempts = 3 }
        answer_within_ms = 12000
        filler = { mode = "silence" }
        [tools.crm_lookup]
        kind = "http"
        description = "Finds a customer by phone number."
        url = "https://crm.example.com/tools/lookup"
        timeout_ms = 4000
        secret = "canary-tool"
        parameters = { type = "object", properties = { phone = { type = "string" } }, required = ["phone"] }
        [fallback]
        say = "Sorry."
        [transfer.targets]
        front_desk = "+15550199"
        "##,
        &env(REQUIRED),
    );
    let (name, spa) = settings.agent_for("+15550100");
    assert_eq!(name, "spa");
    assert_eq!(spa.language, "pt-BR");
    assert_eq!(spa.greeting, Greeting::Wait);
    assert_eq!(spa.tools[0], ToolRef::Configured("crm_lookup".into()));
    assert_eq!(
        spa.turn_detection,
        TurnDetection::ServerVad {
            threshold: 0.6,
            prefix_padding_ms: 300,
            silence_duration_ms: 700,
            idle_timeout_ms: Some(8000),
            create_response: true,
            interrupt_response: false,
        }
    );
    assert_eq!(
        spa.transcription
            .as_ref()
            .map(|transcription| transcription.language.as_str()),
        Some("pt")
    );
    assert_eq!(
        spa.model.reasoning.map(|effort| effort.as_str()),
        Some("low")
    );
    assert_eq!(spa.model.max_output_tokens, Some(1200));
    assert_eq!(spa.keys.get(&'#').map(String::as_str), Some("front_desk"));
    assert_eq!(spa.max_call, Duration::from_secs(900));
    assert_eq!(spa.fallback.say, "Sorry.");
    assert_eq!(
        spa.fallback.dial.as_ref().map(|number| number.as_str()),
        Some("+15550188")
    );
    assert!(!spa.mask_digits);

    let (name, night) = settings.agent_for("+15550101");
    assert_eq!(name, "night");
    assert_eq!(night.voice, Voice::Custom("voice_abc123".into()));
    assert!(night.transcription.is_none());
    assert_eq!(
        night.silence,
        Some(Silence {
            after: Duration::from_secs(8),
            text: "Still there?".into(),
            attempts: 3
        })
    );
    assert_eq!(night.answer_within, Duration::from_secs(12));
    assert_eq!(night.filler, Filler::Silence);
    assert_eq!(spa.answer_within, ANSWER_WITHIN);
    assert_eq!(spa.filler, Filler::Tone);
    assert_eq!(settings.agent_for("+15559999").0, "spa");

    let tool = &settings.tools["crm_lookup"];
    let ToolKind::Http { parameters } = &tool.kind else {
        panic!("not http")
    };
    assert_eq!(parameters["required"][0], "phone");
    assert_eq!(tool.timeout, Duration::from_secs(4));
    assert!(!tool.effects && !tool.allow_private);
}

#[test]
fn agents_are_refused_for_what_they_get_wrong() {
    for (lines, expected) in [
        (
            "numbers = [\"15550100\"]",
            "agents.spa.numbers is not a phone number; write it with + and the country code",
        ),
        (
            "numbers = [\"+1555\"]",
            "agents.spa.numbers is not a phone number: it has 3 digits after +1, where there are 7 or 10; write it",
        ),
        ("voice = \"nova\"", "agents.spa.voice is \"nova\""),
        ("voice = \"marine\"", "did you mean marin?"),
        ("voice = { id = \"nova\" }", "agents.spa.voice.id"),
        ("language = \"english!\"", "agents.spa.language"),
        (
            "greeting = { mode = \"shout\" }",
            "agents.spa.greeting.mode",
        ),
        (
            "greeting = { mode = \"wait\", text = \"hi\" }",
            "agents.spa.greeting.text",
        ),
        (
            "greeting = { mode = \"clip\" }",
            "agents.spa.greeting.clip is missing",
        ),
        (
            "greeting = { mode = \"clip\", clip = \"absent.wav\" }",
            "spa/absent.wav",
        ),
        ("tools = [\"crm\"]", "agents.spa.tools names \"crm\""),
        ("tools = [\"endcall\"]", "did you mean end_call?"),
        (
            "tools = [\"end_call\", \"end_call\"]",
            "names end_call twice",
        ),
        ("tools = [\"transfer_call\"]", "[transfer.targets]"),
        (
            "turn_detection = { type = \"none\" }",
            "agents.spa.turn_detection.type",
        ),
        (
            "turn_detection = { threshold = 1.5 }",
            "agents.spa.turn_detection.threshold is 1.5",
        ),
        (
            "turn_detection = { threshold = nan }",
            "agents.spa.turn_detection.threshold is NaN",
        ),
        (
            "turn_detection = { idle_timeout_ms = 4999 }",
            "agents.spa.turn_detection.idle_timeout_ms is 4999",
        ),
        (
            "turn_detection = { idle_timeout_ms = 30001 }",
            "5000 to 30000",
        ),
        (
            "turn_detection = { eagerness = \"low\" }",
            "server_vad does not have it",
        ),
        (
            "turn_detection = { type = \"semantic_vad\", threshold = 0.5 }",
            "semantic_vad does not have it",
        ),
        (
            "turn_detection = { type = \"semantic_vad\", eagerness = \"lo\" }",
            "did you mean low?",
        ),
        (
            "transcription = { model = \"gpt-live-transcribe\" }",
            "cannot follow the turns",
        ),
        (
            "model = { max_output_tokens = 4097 }",
            "agents.spa.model.max_output_tokens is 4097",
        ),
        (
            "model = { reasoning = \"none\" }",
            "agents.spa.model.reasoning",
        ),
        (
            "model = { name = \"gpt-realtime-1.5\", reasoning = \"low\" }",
            "the model gpt-realtime-1.5 does not have it",
        ),
        (
            "model = { name = \"gpt-realtime-2025-08-28\", reasoning = \"low\" }",
            "agents.spa.model.reasoning",
        ),
        (
            "model = { noise_reduction = \"far\" }",
            "agents.spa.model.noise_reduction",
        ),
        (
            "keys = { \"10\" = \"front_desk\" }",
            "not on a phone's keypad",
        ),
        (
            "keys = { \"0\" = \"front_desk\" }",
            "add front_desk under [transfer.targets]",
        ),
        (
            "silence = { attempts = 9 }",
            "agents.spa.silence.attempts is 9",
        ),
        (
            "silence = {}\nturn_detection = { idle_timeout_ms = 8000 }",
            "agents.spa.silence",
        ),
        ("max_call_seconds = 5", "agents.spa.max_call_seconds is 5"),
        (
            "answer_within_ms = 500",
            "agents.spa.answer_within_ms is 500",
        ),
        (
            "filler = { mode = \"music\" }",
            "agents.spa.filler.mode is \"music\"; use tone, silence or clip",
        ),
        (
            "filler = { mode = \"clip\" }",
            "agents.spa.filler.clip is missing",
        ),
        (
            "filler = { clip = \"nowhere.wav\" }",
            "agents.spa.filler.clip",
        ),
        (
            "filler = { mode = \"tone\", clip = \"a.wav\" }",
            "agents.spa.filler.clip is set, but the mode tone does not use it",
        ),
        (
            "fallback = { dial = \"front desk\" }",
            "agents.spa.fallback.dial",
        ),
        (
            "instructions_file = \"spa.md\"",
            "agents.spa.instructions and instructions_file are both set",
        ),
    ] {
        let sentence = refusal(&agent(lines), &env(REQUIRED));
        assert!(sentence.contains(expected), "{lines}\n  {sentence}");
    }
    assert!(
        refusal("[agents.spa]\n", &env(REQUIRED)).contains("agents.spa.instructions is missing")
    );
    assert!(
        refusal("[agents.\"a b\"]\ninstructions = \"x\"", &env(REQUIRED)).contains("rename it")
    );
}

#[test]
fn two_agents_cannot_claim_one_number() {
    let file = "default_agent = \"a\"\n[agents.a]\ninstructions = \"x\"\nnumbers = [\"+15550100\"]\n\
                [agents.b]\ninstructions = \"y\"\nnumbers = [\"+1 555-0100\"]\n";
    let sentence = refusal(file, &env(REQUIRED));
    assert_eq!(
        sentence,
        "agents.a.numbers and agents.b.numbers both claim +1•••••0100; keep it with one of them"
    );
}

#[test]
fn several_agents_need_a_default() {
    let agents = "[agents.a]\ninstructions = \"x\"\n[agents.b]\ninstructions = \"y\"\n";
    assert!(refusal(agents, &env(REQUIRED)).contains("default_agent is missing"));
    assert!(
        refusal(&format!("default_agent = \"c\"\n{agents}"), &env(REQUIRED))
            .contains("use one of a, b")
    );
    assert_eq!(
        accepted(&format!("default_agent = \"b\"\n{agents}"), &env(REQUIRED))
            .agent_for("+1")
            .0,
        "b"
    );
    assert_eq!(
        accepted(&agent(""), &env(REQUIRED)).default_agent().name,
        "spa"
    );
}

#[test]
fn tools_are_refused_for_what_they_get_wrong() {
    let tool =
        |lines: &str| format!("[tools.crm]\nkind = \"http\"\ndescription = \"Finds.\"\n{lines}\n");
    for (file, expected) in [
        (tool(""), "tools.crm.url is missing"),
        (tool("url = \"ftp://x/\""), "tools.crm.url"),
        (
            tool("url = \"http://crm.example.com/\""),
            "allow_private = true",
        ),
        (tool("url = \"https://127.0.0.1/\""), "allow_private = true"),
        (tool("url = \"https://10.0.0.7/\""), "allow_private = true"),
        (
            tool("url = \"https://2130706433/\""),
            "allow_private = true",
        ),
        (
            tool("url = \"https://[::ffff:169.254.169.254]/\""),
            "allow_private = true",
        ),
        (
            tool("url = \"https://user:canary@crm.example.com/\""),
            "tools.crm.url carries a user name",
        ),
        (
            tool("url = \"https://crm.example.com/\"\ntimeout_ms = 5"),
            "tools.crm.timeout_ms is 5",
        ),
        (
            tool("url = \"https://crm.example.com/\"\nparameters = { type = \"string\" }"),
            "tools.crm.parameters",
        ),
        (
            tool("url = \"https://crm.example.com/\"\nsecret = \"canary\"\nsecret_file = \"x\""),
            "tools.crm.secret and secret_file are both set",
        ),
        (
            tool("url = \"https://crm.example.com/\"\nsecret_file = \"absent\""),
            "tools.crm.secret_file",
        ),
        (
            "[tools.crm]\nkind = \"grpc\"\ndescription = \"x\"".to_owned(),
            "tools.crm.kind is \"grpc\"",
        ),
        (
            "[tools.crm]\nkind = \"http\"".to_owned(),
            "tools.crm.description is missing",
        ),
        (
            "[tools.end_call]\nkind = \"http\"\ndescription = \"x\"".to_owned(),
            "name of a built-in tool",
        ),
        (
            "[transfer.targets]\ndesk = \"100\"".to_owned(),
            "transfer.targets.desk is not a phone number",
        ),
        (
            "[transfer.targets]\ndesk = \"+4420794609\"".to_owned(),
            "transfer.targets.desk is not a phone number: it has 8 digits after +44, where there are 7, 9 or 10",
        ),
        (
            "[fallback]\ndial = \"+2105550100\"".to_owned(),
            "fallback.dial is not a phone number: no country has its code",
        ),
        ("[fallback]\nsay = \"\"".to_owned(), "fallback.say is empty"),
    ] {
        let sentence = refusal(&file, &env(REQUIRED));
        assert!(sentence.contains(expected), "{file}\n  {sentence}");
    }
    accepted(
        &tool("url = \"http://127.0.0.1:9/\"\nallow_private = true"),
        &env(REQUIRED),
    );
}

#[test]
fn models_that_are_gone_are_refused_and_those_that_go_warn() {
    let gone = refusal(
        "",
        &with(&[(
            "OPENAI_REALTIME_MODEL",
            "gpt-4o-realtime-preview-2024-12-17",
        )]),
    );
    assert!(
        gone.contains("OPENAI_REALTIME_MODEL") && gone.contains("use gpt-realtime-2.1"),
        "{gone}"
    );
    let gone = refusal(
        &agent("model = { name = \"gpt-4o-mini-realtime-preview\" }"),
        &env(REQUIRED),
    );
    assert!(
        gone.contains("agents.spa.model.name") && gone.contains("gpt-realtime-2.1-mini"),
        "{gone}"
    );

    let going = accepted(
        &agent(
            "model = { name = \"gpt-realtime-mini\" }\ntranscription = { model = \"whisper-1\" }",
        ),
        &with(&[("OPENAI_REALTIME_MODEL", "gpt-realtime")]),
    );
    let warnings: Vec<String> = going.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("OPENAI_REALTIME_MODEL") && line.contains("2027-01-20"))
    );
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("agents.spa.model.name") && line.contains("2.1-mini"))
    );
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("transcription.model") && line.contains("2027-02-26"))
    );
}

#[test]
fn a_sentence_is_protected_where_there_is_one_to_be_cut() {
    use call_protocol::call::Protected;
    let protected = |lines: &str| accepted(&agent(lines), &dev()).default_agent().protected;
    assert_eq!(protected(""), Protected::default());
    assert!(protected("greeting = { text = \"Greet.\", interruptible = false }").greeting);
    assert!(!protected("greeting = { text = \"Greet.\", interruptible = true }").greeting);
    let wav = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kit/speech/caller/cancel.wav");
    let clip = |key: &str| format!("{key} = {{ clip = {wav:?}, interruptible = false }}");
    assert!(protected(&clip("tool_filler")).tool_filler);
    assert!(protected(&clip("filler")).filler);
    for (lines, words) in [
        (
            "greeting = { mode = \"wait\", interruptible = false }",
            "agents.spa.greeting.interruptible is set, but",
        ),
        (
            "tool_filler = { text = \"Wait.\", interruptible = false }",
            "agents.spa.tool_filler.interruptible is set, but",
        ),
        (
            "filler = { mode = \"tone\", interruptible = false }",
            "agents.spa.filler.interruptible is set, but",
        ),
        (
            "greeting = { text = \"Greet.\", interruptible = true }\nturn_detection = { interrupt_response = false }",
            "agents.spa.greeting.interruptible is true, but turn_detection.interrupt_response = false",
        ),
    ] {
        let sentence = refusal(&agent(lines), &dev());
        assert!(sentence.contains(words), "{lines}: {sentence}");
    }
}
