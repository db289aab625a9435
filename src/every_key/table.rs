//! The tables of the file, and a row for each key.

use super::Shown::{self, Asked, Done, Seen};

/// Tables, and how one begins; `|` stands for where a key of it would be.
pub(super) const TABLES: &[(&str, &str)] = &[
    ("server", "[server]\n"),
    ("data", "[data]\n"),
    ("admin", "[admin]\n"),
    ("limits", "[limits]\n"),
    ("openai", "[openai]\n"),
    ("twilio", "[twilio]\n"),
    ("log", "[log]\n"),
    ("agents", "[agents.spa]\n"),
    ("agents.*.greeting", "[agents.spa.greeting]\n"),
    ("agents.*.tool_filler", "[agents.spa.tool_filler]\n"),
    ("agents.*.turn_detection", "[agents.spa.turn_detection]\n"),
    ("agents.*.transcription", "[agents.spa.transcription]\n"),
    ("agents.*.model", "[agents.spa.model]\n"),
    ("agents.*.silence", "[agents.spa.silence]\n"),
    ("agents.*.filler", "[agents.spa.filler]\n"),
    ("agents.*.fallback", "[agents.spa.fallback]\n"),
    ("tools", "[tools.crm]\n"),
    ("book", "[book]\n"),
    ("fallback", "[fallback]\n"),
    ("transfer", "[transfer]\n"),
];

/// An agent whose tool takes long.
macro_rules! with_tool {
    ($agent:literal) => {
        with_tool!($agent, "")
    };
    ($agent:literal, $tool:literal) => {
        concat!(
            $agent,
            "\ntools = [\"crm\"]\n[tools.crm]\nkind = \"http\"\nurl = \"https://crm.example.com/\"\n",
            "description = \"Finds.\"\n",
            $tool
        )
    };
}

/// The same with another description, or kind.
macro_rules! tool {
    ($lines:literal) => {
        concat!(
            "tools = [\"crm\"]\n[tools.crm]\nurl = \"https://crm.example.com/\"\n",
            $lines
        )
    };
}

const SETTINGS: &str = "tests/it/settings/mod.rs";
const RELOAD: &str = "tests/it/settings/reload.rs";
const STOPPING: &str = "tests/process/service/stopping.rs";

/// Every key, and what shows it.
#[rustfmt::skip]
pub(super) const ROWS: &[(&str, Shown)] = &[
    // ---- an agent ----
    ("agents.*.instructions", Asked("instructions = \"A.\"", "instructions = \"B.\"")),
    ("agents.*.instructions_file", Asked("instructions_file = \"one.md\"", "instructions_file = \"other.md\"")),
    ("agents.*.voice", Asked("voice = \"marin\"", "voice = { id = \"voice_1\" }")),
    ("agents.*.language", Asked("language = \"en\"", "language = \"de\"")),
    ("agents.*.numbers", Seen("tests/process/service/reload.rs", "new_calls_get_the_new_settings_and_live_ones_keep_theirs", "numbers")),
    ("agents.*.greeting.mode", Done("greeting = { mode = \"model\" }", "greeting = { mode = \"wait\" }")),
    ("agents.*.greeting.text", Done("greeting = { text = \"A.\" }", "greeting = { text = \"B.\" }")),
    ("agents.*.greeting.clip", Done("greeting = { clip = \"short.wav\" }", "greeting = { clip = \"long.wav\" }")),
    ("agents.*.greeting.interruptible", Done("greeting = { text = \"A.\" }", "greeting = { text = \"A.\", interruptible = false }")),
    ("agents.*.tools", Asked("tools = [\"end_call\"]", "tools = []")),
    ("agents.*.tool_calls_a_turn", Done(with_tool!(""), with_tool!("tool_calls_a_turn = 1"))),
    ("agents.*.tool_filler.mode", Done(with_tool!(""), with_tool!("tool_filler = { mode = \"none\" }"))),
    ("agents.*.tool_filler.text", Done(with_tool!(""), with_tool!("tool_filler = { text = \"Wait.\" }"))),
    ("agents.*.tool_filler.clip", Done(with_tool!("tool_filler = { clip = \"short.wav\" }"), with_tool!("tool_filler = { clip = \"long.wav\" }"))),
    ("agents.*.tool_filler.after_ms", Done(with_tool!(""), with_tool!("tool_filler = { after_ms = 3000 }"))),
    ("agents.*.tool_filler.interruptible", Done(with_tool!("tool_filler = { after_ms = 800, clip = \"long.wav\" }"), with_tool!("tool_filler = { after_ms = 800, clip = \"long.wav\", interruptible = false }"))),
    ("agents.*.turn_detection.type", Asked("turn_detection = { type = \"server_vad\" }", "turn_detection = { type = \"semantic_vad\" }")),
    ("agents.*.turn_detection.threshold", Asked("", "turn_detection = { threshold = 0.7 }")),
    ("agents.*.turn_detection.prefix_padding_ms", Asked("", "turn_detection = { prefix_padding_ms = 400 }")),
    ("agents.*.turn_detection.silence_duration_ms", Asked("", "turn_detection = { silence_duration_ms = 900 }")),
    ("agents.*.turn_detection.idle_timeout_ms", Asked("", "turn_detection = { idle_timeout_ms = 9000 }")),
    ("agents.*.turn_detection.eagerness", Asked("turn_detection = { type = \"semantic_vad\", eagerness = \"low\" }", "turn_detection = { type = \"semantic_vad\", eagerness = \"high\" }")),
    ("agents.*.turn_detection.create_response", Done("", "turn_detection = { create_response = false }")),
    ("agents.*.turn_detection.interrupt_response", Done("", "turn_detection = { interrupt_response = false }")),
    ("agents.*.transcription.model", Asked("", "transcription = { model = \"whisper-1\" }")),
    ("agents.*.transcription.language", Asked("", "transcription = { language = \"fr\" }")),
    ("agents.*.model.name", Seen("tests/it/faults/refused.rs", "an_agent_whose_model_does_not_exist_falls_back_and_shuts_no_door_for_others", "name")),
    ("agents.*.model.reasoning", Asked("", "model = { reasoning = \"low\" }")),
    ("agents.*.model.max_output_tokens", Asked("", "model = { max_output_tokens = 99 }")),
    ("agents.*.model.noise_reduction", Asked("", "model = { noise_reduction = \"far_field\" }")),
    ("agents.*.silence.after_ms", Done("silence = {}", "silence = { after_ms = 4000 }")),
    ("agents.*.silence.text", Done("silence = {}", "silence = { text = \"Hello?\" }")),
    ("agents.*.silence.attempts", Done("silence = { after_ms = 3000 }", "silence = { after_ms = 3000, attempts = 1 }")),
    ("agents.*.answer_within_ms", Done("", "answer_within_ms = 2000")),
    ("agents.*.filler.mode", Done("", "filler = { mode = \"silence\" }")),
    ("agents.*.filler.clip", Done("filler = { clip = \"short.wav\" }", "filler = { clip = \"long.wav\" }")),
    ("agents.*.filler.interruptible", Done("filler = { clip = \"long.wav\" }", "filler = { clip = \"long.wav\", interruptible = false }")),
    ("agents.*.keys", Done("", "keys = { \"1\" = \"desk\" }\n[transfer.targets]\ndesk = \"+15550199\"")),
    ("agents.*.mask_digits", Done("mask_digits = true", "mask_digits = false")),
    ("agents.*.max_calls", Seen("tests/it/faults/admission.rs", "an_agent_takes_as_many_calls_as_it_may_and_the_others_go_on", "max_calls")),
    ("agents.*.max_call_seconds", Done("", "max_call_seconds = 60")),
    ("agents.*.fallback.say", Seen("tests/it/service/model_faults.rs", "a_wrong_key_is_final_and_the_caller_hears_the_fallback_at_once", "falls_back")),
    ("agents.*.fallback.dial", Seen("tests/it/service/transfer/sent.rs", "after_three_returns_the_fallback_takes_the_caller", "fallback")),
    // ---- a tool ----
    ("tools.*.kind", Asked(tool!("kind = \"http\"\ndescription = \"Finds.\""), tool!("kind = \"mcp\"\ndescription = \"Finds.\""))),
    ("tools.*.description", Asked(tool!("kind = \"http\"\ndescription = \"Finds.\""), tool!("kind = \"http\"\ndescription = \"Looks.\""))),
    ("tools.*.url", Asked("tools = [\"crm\"]\n[tools.crm]\nkind = \"mcp\"\ndescription = \"Finds.\"\nurl = \"https://a.example.com/\"", "tools = [\"crm\"]\n[tools.crm]\nkind = \"mcp\"\ndescription = \"Finds.\"\nurl = \"https://b.example.com/\"")),
    ("tools.*.parameters", Asked(with_tool!(""), with_tool!("", "parameters = { type = \"object\", required = [\"a\"] }"))),
    ("tools.*.effects", Done(with_tool!(""), with_tool!("", "effects = true"))),
    ("tools.*.timeout_ms", Done(with_tool!(""), with_tool!("", "timeout_ms = 900"))),
    ("tools.*.secret", Asked(tool!("kind = \"mcp\"\ndescription = \"Finds.\""), tool!("kind = \"mcp\"\ndescription = \"Finds.\"\nsecret = \"s\""))),
    ("tools.*.secret_file", Asked(tool!("kind = \"mcp\"\ndescription = \"Finds.\"\nsecret_file = \"one.md\""), tool!("kind = \"mcp\"\ndescription = \"Finds.\"\nsecret_file = \"other.md\""))),
    ("tools.*.headers", Asked(tool!("kind = \"mcp\"\ndescription = \"Finds.\""), tool!("kind = \"mcp\"\ndescription = \"Finds.\"\nheaders = { X = \"y\" }"))),
    ("tools.*.allow_private", Seen("tests/it/service/tools/reach.rs", "no_way_to_write_an_inside_address_gets_in", "allow_private")),
    ("tools.*.redirect_hosts", Seen("tests/it/service/tools/reach.rs", "redirects_are_followed_three_times_to_allowed_hosts_and_checked_each_time", "redirect_hosts")),
    ("tools.*.idempotent", Seen("tests/it/service/tools/replies.rs", "nobody_there_is_tried_again_and_the_same_key_is_sent_each_time", "knows_its_key")),
    // ---- the house ----
    ("default_agent", Seen("tests/it/settings/agents.rs", "several_agents_need_a_default", "default_agent")),
    ("fallback.say", Seen("tests/it/service/model_faults.rs", "a_wrong_key_is_final_and_the_caller_hears_the_fallback_at_once", "falls_back")),
    ("fallback.dial", Seen("tests/it/service/transfer/sent.rs", "after_three_returns_the_fallback_takes_the_caller", "fallback")),
    ("transfer.mode", Asked("tools = [\"transfer_call\"]\n[transfer]\nmode = \"cold\"\n[transfer.targets]\ndesk = \"+15550199\"", "tools = [\"transfer_call\"]\n[transfer]\nmode = \"warm\"\n[transfer.targets]\ndesk = \"+15550199\"")),
    ("transfer.targets", Asked("tools = [\"transfer_call\"]\n[transfer.targets]\ndesk = \"+15550199\"", "tools = [\"transfer_call\"]\n[transfer.targets]\nboss = \"+15550199\"")),
    ("transfer.ring_seconds", Seen("tests/it/service/transfer/rest.rs", "a_person_takes_the_call_while_the_caller_stays_and_then_the_two_meet", "Timeout")),
    ("transfer.briefing", Seen("tests/it/service/transfer/warm.rs", "a_person_is_told_what_the_call_is_about_and_takes_it_by_a_key", "briefing")),
    ("limits.max_calls", Seen("tests/release/many_calls.rs", "past_the_limit_callers_hear_the_busy_tone_at_once", "MAX_CALLS")),
    ("limits.max_call_seconds", Done("", "[limits]\nmax_call_seconds = 60")),
    ("limits.drain_seconds", Seen(STOPPING, "at_the_drain_deadline_live_calls_are_handed_over", "DRAIN_SECONDS")),
    ("limits.max_call_cost_usd", Seen("tests/process/service/budget.rs", "a_call_that_has_cost_enough_is_heard_out_and_goes_to_the_fallback", "max_call_cost_usd")),
    ("limits.max_day_cost_usd", Seen("tests/process/service/budget.rs", "a_day_that_has_cost_enough_takes_no_new_calls_and_the_next_process_knows_it", "max_day_cost_usd")),
    ("limits.number_calls_per_hour", Seen("tests/process/service/callers.rs", "a_number_that_redials_is_answered_so_often_then_told_so_then_busy_also_after_a_restart", "number_calls_per_hour")),
    ("limits.minutes_per_day", Seen("tests/process/service/callers.rs", "a_day_that_has_had_its_minutes_takes_no_new_calls_but_of_exempt_numbers", "minutes_per_day")),
    ("limits.exempt_numbers", Seen("tests/process/service/callers.rs", "a_day_that_has_had_its_minutes_takes_no_new_calls_but_of_exempt_numbers", "exempt_numbers")),
    ("book.identify", Seen("src/booking/tests/it/strangers.rs", "what_a_number_alone_is_told_and_may_change_is_as_the_settings_say", "Identify::Code")),
    ("book.verified_only", Seen("tests/process/service/callers.rs", "a_number_that_nobody_vouches_for_is_withheld_where_only_verified_ones_count", "verified_only")),
    ("server.listen", Seen(STOPPING, "what_a_start_cannot_open_check_complains_of_in_the_same_words", "LISTEN")),
    ("server.public_url", Seen("tests/it/service/tickets_and_signatures.rs", "forged_webhooks_are_refused_without_a_word", "PUBLIC")),
    ("server.workers", Seen(RELOAD, "what_needs_a_restart_is_named_by_its_key", "WORKERS")),
    ("server.dev", Seen(SETTINGS, "dev_needs_nothing_but_loopback", "SWITCHBOARD_DEV")),
    ("server.fleet_url", Seen("tests/process/resume/leaving.rs", "while_it_leaves_a_process_sends_callers_to_the_fleet", "fleet_url")),
    ("data.dir", Seen("tests/process/booking/desk.rs", "the_desk_books_lists_and_cancels_while_the_service_has_the_book_open", "DATA_DIR")),
    ("data.store", Seen("tests/process/service/budget.rs", "a_day_that_has_cost_enough_takes_no_new_calls_and_the_next_process_knows_it", "SWITCHBOARD_STORE")),
    ("admin.listen", Seen(STOPPING, "what_a_start_cannot_open_check_complains_of_in_the_same_words", "ADMIN_LISTEN")),
    ("admin.token", Seen("tests/it/service/tickets_and_signatures.rs", "the_admin_listener_is_closed_without_the_token", "ADMIN_TOKEN")),
    ("openai.api_key", Seen("tests/it/service/model_faults.rs", "a_wrong_key_that_is_told_only_after_the_upgrade_is_as_final", "keys(")),
    ("openai.url", Seen("tests/it/service/model_faults.rs", "a_wrong_key_is_final_and_the_caller_hears_the_fallback_at_once", "OPENAI_REALTIME_URL")),
    ("openai.model", Seen("tests/it/settings/agents.rs", "models_that_are_gone_are_refused_and_those_that_go_warn", "OPENAI_REALTIME_MODEL")),
    ("openai.dial", Seen("tests/it/service/conversation.rs", "a_session_dialled_at_the_webhook_speaks_earlier", "dial")),
    ("twilio.account_sid", Seen("tests/it/service/order_and_identity.rs", "a_stream_of_another_account_than_the_settings_is_served_and_counted", "TWILIO_ACCOUNT_SID")),
    ("twilio.auth_token", Seen("tests/it/service/tickets_and_signatures.rs", "forged_webhooks_are_refused_without_a_word", "AUTH_TOKEN")),
    ("twilio.auth_token_secondary", Seen("tests/process/service/rotation.rs", "the_next_auth_token_is_believed_before_the_last_one_leaves", "auth_token_secondary")),
    ("twilio.api_key", Seen("tests/it/service/transfer/rest.rs", "an_api_key_calls_people_too_and_a_wrong_one_nobody", "TWILIO_API_KEY")),
    ("twilio.api_secret", Seen("tests/it/service/transfer/rest.rs", "an_api_key_calls_people_too_and_a_wrong_one_nobody", "TWILIO_API_SECRET")),
    ("twilio.api_url", Seen("tests/it/service/transfer/rest.rs", "an_api_key_calls_people_too_and_a_wrong_one_nobody", "TWILIO_API_URL")),
    ("twilio.stream_signature", Seen("tests/it/service/tickets_and_signatures.rs", "the_signature_of_a_media_socket_counts_as_the_settings_say", "stream_signature")),
    ("log.format", Seen("tests/process/telemetry.rs", "json_lines_are_json_and_a_panic_is_one_of_them", "json")),
    ("log.transcripts", Seen("tests/it/a_call.rs", "turns_carry_their_words_where_transcripts_are_switched_on", "transcripts = true")),
    ("RUST_LOG", Seen("tests/process/telemetry.rs", "human_lines_have_colours_only_where_they_are_wanted", "RUST_LOG")),
];
