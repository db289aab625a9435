use super::*;

fn metrics() -> Metrics {
    Metrics::new("0.1.0").unwrap()
}

#[test]
fn every_name_of_the_contract_and_two_more_are_in_the_first_scrape() {
    let text = metrics().render();
    let mut families: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    families.sort_unstable();
    assert_eq!(
        families,
        [
            "switchboard_admin_refused_total counter",
            "switchboard_admission_rejected_total counter",
            "switchboard_audio_frames_total counter",
            "switchboard_barge_ins_total counter",
            "switchboard_bridge_latency_seconds histogram",
            "switchboard_build_info gauge",
            "switchboard_call_duration_seconds histogram",
            "switchboard_call_restarts_total counter",
            "switchboard_calls_active gauge",
            "switchboard_calls_total counter",
            "switchboard_code_guesses_total counter",
            "switchboard_cost_usd_total counter",
            "switchboard_data_file_faults_total counter",
            "switchboard_events_dropped_total counter",
            "switchboard_first_audio_seconds histogram",
            "switchboard_model_connects_total counter",
            "switchboard_model_latency_seconds histogram",
            "switchboard_model_reconnect_seconds histogram",
            "switchboard_panics_total counter",
            "switchboard_protocol_violations_total counter",
            "switchboard_queue_overflow_total counter",
            "switchboard_resumes_total counter",
            "switchboard_session_rollovers_total counter",
            "switchboard_stream_rejected_total counter",
            "switchboard_tokens_total counter",
            "switchboard_tool_seconds histogram",
            "switchboard_turn_latency_seconds histogram",
            "switchboard_webhook_rejected_total counter",
        ]
    );
}

#[test]
fn closed_label_sets_are_at_zero_in_the_first_scrape() {
    let text = metrics().render();
    for line in [
        "switchboard_calls_active{state=\"connected\"} 0",
        "switchboard_calls_active{state=\"stop\"} 0",
        "switchboard_audio_frames_total{direction=\"from_caller\",result=\"forwarded\"} 0",
        "switchboard_audio_frames_total{direction=\"to_caller\",result=\"dropped\"} 0",
        "switchboard_bridge_latency_seconds_count{direction=\"to_caller\"} 0",
        "switchboard_bridge_latency_seconds_bucket{direction=\"from_caller\",le=\"0.00001\"} 0",
        "switchboard_model_connects_total{result=\"unauthorized\"} 0",
        "switchboard_resumes_total{result=\"ok\"} 0",
        "switchboard_resumes_total{result=\"adopted\"} 0",
        "switchboard_call_restarts_total{reason=\"fault\"} 0",
        "switchboard_call_restarts_total{reason=\"stuck\"} 0",
        "switchboard_call_restarts_total{reason=\"panic\"} 0",
        "switchboard_calls_total{outcome=\"panicked\"} 0",
        "switchboard_calls_total{outcome=\"gone_meanwhile\"} 0",
        "switchboard_admin_refused_total{reason=\"wrong_token\"} 0",
        "switchboard_tokens_total{kind=\"cached_in\"} 0",
        "switchboard_cost_usd_total 0",
        "switchboard_data_file_faults_total{fault=\"damaged\",file=\"calls\"} 0",
        "switchboard_panics_total 0",
        "switchboard_queue_overflow_total{queue=\"store\"} 0",
        "switchboard_queue_overflow_total{queue=\"tap\"} 0",
        "switchboard_turn_latency_seconds_count 0",
        "switchboard_build_info{version=\"0.1.0\"} 1",
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn a_call_is_counted_from_state_to_state_to_its_outcome() {
    let metrics = metrics();
    metrics.call_began("connected");
    metrics.call_moved("connected", "media");
    assert_eq!(
        (
            metrics.calls_active("connected").get(),
            metrics.calls_active("media").get()
        ),
        (0, 1)
    );
    metrics.call_ended("media", EndReason::CallerHungUp, Duration::from_secs(31));
    let text = metrics.render();
    for line in [
        "switchboard_calls_active{state=\"media\"} 0",
        "switchboard_calls_total{outcome=\"caller_hung_up\"} 1",
        "switchboard_calls_total{outcome=\"model_lost\"} 0",
        "switchboard_calls_total{outcome=\"panicked\"} 0",
        "switchboard_calls_total{outcome=\"gone_meanwhile\"} 0",
        "switchboard_call_duration_seconds_bucket{le=\"30\"} 0",
        "switchboard_call_duration_seconds_bucket{le=\"60\"} 1",
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn every_event_reaches_its_own_metric() {
    let metrics = metrics();
    metrics.frames_from_caller.forwarded.inc();
    metrics.frames_to_caller.dropped.inc_by(2);
    metrics.bridge_to_caller.observe(0.000_04);
    metrics.barge_ins.inc();
    metrics.panics.inc();
    metrics.call_restarted("panic");
    metrics.turn_answered(Duration::from_millis(612));
    metrics.first_audio(Duration::from_millis(900));
    metrics.model_connected("ok");
    metrics.model_reconnected(Duration::from_secs(1));
    metrics.session_rolled_over("ok");
    metrics.resumed("failed");
    metrics.admission_rejected("limit");
    metrics.webhook_rejected("signature");
    metrics.stream_rejected("expired");
    metrics.protocol_violated("twilio", "bad_json");
    metrics.tool_ran("end_call", "ok", Duration::from_millis(3));
    metrics.tokens_used("audio_out", 120);
    metrics.spent_usd(0.5);
    metrics.spent_usd(f64::NAN);
    metrics.spent_usd(-1.0);
    metrics.faults_of("book").count("replaced");
    let text = metrics.render();
    for line in [
        "switchboard_audio_frames_total{direction=\"from_caller\",result=\"forwarded\"} 1",
        "switchboard_audio_frames_total{direction=\"to_caller\",result=\"dropped\"} 2",
        "switchboard_bridge_latency_seconds_bucket{direction=\"to_caller\",le=\"0.00005\"} 1",
        "switchboard_barge_ins_total 1",
        "switchboard_panics_total 1",
        "switchboard_call_restarts_total{reason=\"panic\"} 1",
        "switchboard_turn_latency_seconds_sum 0.612",
        "switchboard_first_audio_seconds_sum 0.9",
        "switchboard_model_connects_total{result=\"ok\"} 1",
        "switchboard_model_reconnect_seconds_sum 1",
        "switchboard_session_rollovers_total{result=\"ok\"} 1",
        "switchboard_resumes_total{result=\"failed\"} 1",
        "switchboard_admission_rejected_total{reason=\"limit\"} 1",
        "switchboard_webhook_rejected_total{reason=\"signature\"} 1",
        "switchboard_stream_rejected_total{reason=\"expired\"} 1",
        "switchboard_protocol_violations_total{kind=\"bad_json\",peer=\"twilio\"} 1",
        "switchboard_tool_seconds_count{result=\"ok\",tool=\"end_call\"} 1",
        "switchboard_tokens_total{kind=\"audio_out\"} 120",
        "switchboard_cost_usd_total 0.5",
        "switchboard_data_file_faults_total{fault=\"replaced\",file=\"book\"} 1",
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn two_services_in_one_process_do_not_mix() {
    let (first, second) = (metrics(), metrics());
    first.barge_ins.inc();
    assert_eq!(second.barge_ins.get(), 0);
    assert_eq!(first.clone().barge_ins.get(), 1);
}
