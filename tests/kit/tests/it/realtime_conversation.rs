//! A whole call, from the client's side of the socket.

use crate::realtime_client::{Client, quick, script, session};
use serde_json::{Value, json};
use switchboard_kit::realtime::{DeltaSize, Realtime, Recording, Resume, Script, Source};
use switchboard_kit::speech;

#[tokio::test]
async fn the_spa_conversation_runs_from_greeting_to_goodbye() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client
        .send(json!({"type": "response.create", "response": {"instructions": "Greet."}}))
        .await;
    let greeting = client.until("response.done").await;
    let item = &greeting["response"]["output"][0];
    let clip = speech::receptionist("greeting").unwrap();
    assert_eq!(item["content"][0]["transcript"], clip.text);
    assert_eq!(client.audio_of(item["id"].as_str().unwrap()), clip.mulaw());

    for (said, answered) in [
        ("hello", "times_long"),
        ("interrupt", "half_past"),
        ("name", "booked"),
        ("thanks", "goodbye"),
        ("yes", "sorry"),
    ] {
        client.silence(200).await;
        client.speak(said).await;
        let done = client.until("response.done").await;
        let text = speech::receptionist(answered).unwrap().text;
        assert_eq!(
            done["response"]["output"][0]["content"][0]["transcript"],
            text
        );
        assert_eq!(done["response"]["status"], "completed");
    }
    let heard = client.of("conversation.item.input_audio_transcription.completed");
    let heard: Vec<_> = heard
        .iter()
        .map(|event| event["transcript"].as_str().unwrap())
        .collect();
    assert_eq!(
        heard[..2],
        ["hello", "interrupt"].map(|name| speech::caller(name).unwrap().text)
    );

    let session = session(&server, 1).await;
    let sources: Vec<Source> = session
        .responses()
        .iter()
        .map(|response| response.source)
        .collect();
    assert_eq!(
        sources,
        [
            Source::Greeting,
            Source::Turn(0),
            Source::Turn(1),
            Source::Turn(2),
            Source::Turn(3),
            Source::Otherwise
        ]
    );
    assert_eq!(session.appended_bytes(), session.appended().len() as u64);
    assert_eq!(session.position(), 4);
}

#[tokio::test]
async fn one_turn_has_the_events_of_the_api_in_their_order() {
    let server = quick()
        .delta_size(DeltaSize::Fixed(100_001))
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.kinds();
    client.silence(200).await;
    client.speak("yes").await;
    client.until("response.done").await;
    let mut kinds = client.kinds();
    // May come at any time after the item.
    kinds.retain(|kind| !kind.starts_with("conversation.item.input_audio_transcription"));
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
    );
    let started = client.of("input_audio_buffer.speech_started")[0].clone();
    let stopped = client.of("input_audio_buffer.speech_stopped")[0].clone();
    assert_eq!(
        started["audio_start_ms"], 0,
        "200 ms of silence are less than the padding"
    );
    let end = stopped["audio_end_ms"].as_u64().unwrap();
    assert!((1_400..=1_710).contains(&end), "{end}");
    let committed = &client.of("input_audio_buffer.committed")[0]["item_id"];
    assert_eq!(committed, &started["item_id"]);
    let usage = &client.of("response.done")[0]["response"]["usage"];
    let sum = |keys: [&str; 2]| {
        keys.iter()
            .map(|key| usage[key].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(
        sum(["input_tokens", "output_tokens"]),
        usage["total_tokens"].as_u64().unwrap()
    );
    assert!(
        usage["output_token_details"]["audio_tokens"]
            .as_u64()
            .unwrap()
            > 300
    );
}

#[tokio::test]
async fn a_caller_who_interrupts_ends_the_answer_and_what_was_heard_can_be_kept() {
    let server = Realtime::builder()
        .think_ms(0)
        .speed(5.0)
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("hello").await;
    let delta = client.until("response.output_audio.delta").await;
    let item = delta["item_id"].as_str().unwrap().to_owned();
    client.speak("interrupt").await;
    client.until("input_audio_buffer.speech_started").await;
    let done = client.until("response.done").await;
    assert_eq!(done["response"]["status"], "cancelled");
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "turn_detected"
    );
    assert_eq!(done["response"]["output"][0]["status"], "incomplete");
    let sent_ms = client.audio_of(&item).len() as u64 / 8;
    let too_long = client
        .refused(json!({"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": sent_ms + 760}))
        .await;
    assert_eq!(
        too_long["message"],
        format!(
            "Audio content of {sent_ms}ms is already shorter than {}ms",
            sent_ms + 760
        )
    );
    client
        .send(json!({"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": 120}))
        .await;
    client.until("conversation.item.truncated").await;
    let truth = session(&server, 1).await.item(&item).unwrap();
    assert_eq!(
        (truth.generated_ms, truth.truncated_to_ms),
        (sent_ms, Some(120))
    );
    let second = client.until("response.done").await;
    assert_eq!(second["response"]["status"], "completed");
}

#[tokio::test]
async fn tools_preambles_and_several_items_follow_the_script() {
    let server = quick()
        .script(script(r#"
            [[turns]]
            hears = "Two things please."
            says = [{ clip = "moment" }, { tone_hz = 300, ms = 400, text = "hum" }]
            tools = [{ name = "crm_lookup", arguments = { phone = "+15550142" } }, { name = "find_times", arguments = {} }]
            [[turns]]
            says = [{ clip = "half_past" }]
        "#))
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("hello").await;
    // The first call is complete long before its response is.
    let call = client.until("response.function_call_arguments.done").await;
    assert_eq!(call["arguments"], r#"{"phone":"+15550142"}"#);
    let output = |call_id: &Value| json!({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": call_id, "output": "{}"}});
    let done = client.until("response.done").await;
    let kinds: Vec<&str> = done["response"]["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["message", "message", "function_call", "function_call"]
    );
    let unknown = client.refused(output(&"call_nobody".into())).await;
    assert_eq!(unknown["code"], "invalid_tool_call_id");
    for index in [2, 3] {
        client
            .send(output(&done["response"]["output"][index]["call_id"]))
            .await;
    }
    client.send(json!({"type": "response.create"})).await;
    let next = client.until("response.done").await;
    let text = speech::receptionist("half_past").unwrap().text;
    assert_eq!(
        next["response"]["output"][0]["content"][0]["transcript"],
        text
    );
    let outputs = session(&server, 1).await.replayed();
    assert_eq!(outputs.len(), 2);
}

/// Answers the only call of a response and asks for the next one; gives the response that follows.
async fn answer_tool(client: &mut Client, done: &Value, output: &Value) -> Value {
    let items = done["response"]["output"].as_array().unwrap();
    let call = items
        .iter()
        .find(|item| item["type"] == "function_call")
        .unwrap();
    let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": output.to_string()});
    client
        .send(json!({"type": "conversation.item.create", "item": output}))
        .await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.done").await
}

fn said(done: &Value) -> &str {
    done["response"]["output"][0]["content"][0]["transcript"]
        .as_str()
        .unwrap_or_default()
}

#[tokio::test]
async fn the_booking_says_and_asks_for_what_the_tools_answered() {
    let server = quick().script(Script::spa()).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("hello").await;
    let done = client.until("response.done").await;
    let wanted = done["response"]["output"][1]["arguments"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(wanted).unwrap(),
        json!({"service": "Classic massage", "therapist": "Maria", "part_of_day": "afternoon"})
    );
    let times = json!({"day": "2026-11-24", "options": [{"service": "Classic massage", "times": [
        {"time": "14:30", "therapist": "Maria"}, {"time": "17:00", "therapist": "Maria"},
    ]}]});
    let offer = answer_tool(&mut client, &done, &times).await;
    assert!(
        said(&offer).starts_with(
            "With pleasure. Maria is free on Tuesday at two thirty or at five o'clock. You are"
        ),
        "{offer}"
    );
    client.silence(200).await;
    client.speak("interrupt").await;
    let taken = client.until("response.done").await;
    assert_eq!(
        said(&taken),
        "The first one, at two thirty. May I have your name, please?"
    );
    client.silence(200).await;
    client.speak("name").await;
    let done = client.until("response.done").await;
    let wanted = done["response"]["output"][0]["arguments"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(wanted).unwrap(),
        json!({"service": "Classic massage", "day": "2026-11-24", "time": "14:30", "therapist": "Maria", "name": "Anna Weber"})
    );
    let booked = json!({"booked": {"therapist": "Maria", "day": "2026-11-24", "time": "14:30", "code": "F6L9"}});
    let told = answer_tool(&mut client, &done, &booked).await;
    assert_eq!(
        said(&told),
        "Thank you, Anna. Your massage with Maria is booked for Tuesday at two thirty. Your code is F, 6, L, 9. Is there anything else?"
    );
    client.silence(200).await;
    client.speak("thanks").await;
    let goodbye = client.until("response.done").await;
    assert_eq!(
        said(&goodbye),
        speech::receptionist("goodbye").unwrap().text
    );
}

#[tokio::test]
async fn a_booking_without_a_book_promises_a_call() {
    let server = quick().script(Script::spa()).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("hello").await;
    let done = client.until("response.done").await;
    let error = json!({"error": "there is no tool find_times"});
    let mut heard = vec![said(&answer_tool(&mut client, &done, &error).await).to_owned()];
    for caller in ["interrupt", "name", "thanks"] {
        client.silence(200).await;
        client.speak(caller).await;
        let done = client.until("response.done").await;
        // Nothing that could be booked, so nothing is asked of the book.
        assert_eq!(done["response"]["output"].as_array().unwrap().len(), 1);
        heard.push(said(&done).to_owned());
    }
    let texts = ["no_book", "your_name", "no_book", "goodbye"]
        .map(|name| speech::receptionist(name).unwrap().text);
    assert_eq!(heard, texts);
}

#[tokio::test]
async fn a_tool_output_before_the_end_of_the_response_is_refused() {
    // Slow enough that the second call's arguments take a while.
    let server = Realtime::builder()
        .think_ms(0)
        .speed(0.05)
        .script(script(r#"
            [[turns]]
            tools = [{ name = "a" }, { name = "b", arguments = { long = "0123456789 0123456789 0123456789 0123456789" } }]
        "#))
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("yes").await;
    let item = client.until("response.output_item.done").await["item"].take();
    let early = client
        .refused(json!({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": item["call_id"], "output": "{}"}}))
        .await;
    assert_eq!(early["code"], "invalid_tool_call_id");
}

#[tokio::test]
async fn every_way_a_response_can_end() {
    let server = quick()
        .script(script(
            r#"
            [[turns]]
            status = { rate_limited = "6.232s" }
            [[turns]]
            status = "server_error"
            [[turns]]
            status = "quota"
            [[turns]]
            says = [{ clip = "price" }]
            status = "max_output_tokens"
            [[turns]]
            says = [{ clip = "price" }]
            status = "content_filter"
            [[turns]]
            [[turns]]
            says = [{ written = "text instead of speech" }]
            [[turns]]
            status = "hangs"
        "#,
        ))
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("yes").await;
    let mut done = client.until("response.done").await["response"].take();
    let error = &done["status_details"]["error"];
    assert_eq!(
        (&done["status"], &error["code"]),
        (&json!("failed"), &json!("rate_limit_exceeded"))
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .ends_with("Please try again in 6.232s.")
    );
    let mut again = async |client: &mut Client| {
        client.send(json!({"type": "response.create"})).await;
        done = client.until("response.done").await["response"].take();
        done.clone()
    };
    let failed = again(&mut client).await;
    assert_eq!(failed["status_details"]["error"]["type"], "server_error");
    assert_eq!(failed["status_details"]["error"]["code"], Value::Null);
    let quota = again(&mut client).await;
    assert_eq!(
        quota["status_details"]["error"]["type"],
        "insufficient_quota"
    );
    assert_eq!(quota["usage"], Value::Null);
    let long = again(&mut client).await;
    assert_eq!(
        long["status_details"],
        json!({"type": "incomplete", "reason": "max_output_tokens"})
    );
    let whole = speech::receptionist("price").unwrap();
    let half = client.audio_of(long["output"][0]["id"].as_str().unwrap());
    assert_eq!(half.len(), whole.mulaw().len() / 2);
    assert!(
        whole.text.starts_with(
            long["output"][0]["content"][0]["transcript"]
                .as_str()
                .unwrap()
        )
    );
    let filtered = again(&mut client).await;
    assert_eq!(filtered["status_details"]["reason"], "content_filter");
    let empty = again(&mut client).await;
    assert_eq!(
        (&empty["status"], &empty["output"]),
        (&json!("completed"), &json!([]))
    );
    let written = again(&mut client).await;
    assert_eq!(
        written["output"][0]["content"],
        json!([{"type": "output_text", "text": "text instead of speech"}])
    );

    client.silence(100).await;
    client.speak("yes").await;
    client.until("response.created").await;
    let active = client.refused(json!({"type": "response.create"})).await;
    assert_eq!(active["code"], "conversation_already_has_active_response");
    client.send(json!({"type": "response.cancel"})).await;
    let hung = client.until("response.done").await;
    assert_eq!(
        hung["response"]["status_details"]["reason"],
        "client_cancelled"
    );
    let idle = client.refused(json!({"type": "response.cancel"})).await;
    assert_eq!(idle["code"], "response_cancel_not_active");
    assert_eq!(
        idle["message"],
        "Cancellation failed: no active response found"
    );
}

#[tokio::test]
async fn without_turn_detection_the_client_commits_and_asks() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.send(json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": null}}}})).await;
    client.until("session.updated").await;
    let empty = client
        .refused(json!({"type": "input_audio_buffer.commit"}))
        .await;
    assert_eq!(empty["code"], "input_audio_buffer_commit_empty");
    assert!(
        empty["message"]
            .as_str()
            .unwrap()
            .ends_with("but buffer only has 0.00ms of audio.")
    );
    client.kinds();
    client.speak("hello").await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    client.until("conversation.item.done").await;
    assert_eq!(
        client.kinds(),
        [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done"
        ]
    );
    let item = client.seen.last().unwrap()["item"]["id"].clone();
    client
        .send(json!({"type": "conversation.item.retrieve", "item_id": item}))
        .await;
    let retrieved = client.until("conversation.item.retrieved").await;
    assert!(
        retrieved["item"]["content"][0]["audio"]
            .as_str()
            .unwrap()
            .len()
            > 40_000
    );
    client.send(json!({"type": "response.create"})).await;
    let done = client.until("response.done").await;
    let text = speech::receptionist("times_long").unwrap().text;
    assert_eq!(
        done["response"]["output"][0]["content"][0]["transcript"],
        text
    );
}

#[tokio::test]
async fn a_new_session_told_the_history_goes_on_where_the_old_one_stopped() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    for (role, kind, text) in [
        ("system", "input_text", "The line dropped."),
        ("assistant", "output_text", "Good morning"),
        ("user", "input_text", "Hello"),
        ("assistant", "output_text", "With pleasure. Tomorrow"),
    ] {
        client
            .send(json!({"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}}))
            .await;
        client.until("conversation.item.done").await;
    }
    client.speak("interrupt").await;
    let done = client.until("response.done").await;
    let text = speech::receptionist("half_past").unwrap().text;
    assert_eq!(
        done["response"]["output"][0]["content"][0]["transcript"],
        text
    );
    let replayed = session(&server, 1).await.replayed();
    assert_eq!(replayed.len(), 4);
    assert_eq!(replayed[3].text, "With pleasure. Tomorrow");

    let server = quick().resume(Resume::At(3)).start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("thanks").await;
    client.until("response.done").await;
    assert_eq!(
        session(&server, 1).await.responses()[0].source,
        Source::Turn(3)
    );
}

#[tokio::test]
async fn a_response_beside_the_conversation_disturbs_nothing() {
    let server = Realtime::builder()
        .think_ms(0)
        .speed(20.0)
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("hello").await;
    client.until("response.output_audio.delta").await;
    client
        .send(json!({"type": "response.create", "response": {"conversation": "none", "output_modalities": ["text"], "metadata": {"topic": "summary"}, "input": []}}))
        .await;
    let aside = client.until("response.done").await["response"].take();
    assert_eq!(aside["conversation_id"], Value::Null);
    assert_eq!(aside["metadata"], json!({"topic": "summary"}));
    assert_eq!(aside["output"][0]["content"][0]["type"], "output_text");
    let main = client.until("response.done").await["response"].take();
    assert_eq!(main["status"], "completed");
    let session = session(&server, 1).await;
    assert!(
        session
            .item(aside["output"][0]["id"].as_str().unwrap())
            .is_none()
    );
}

#[tokio::test]
async fn every_format_lasts_as_long_and_every_delta_size_is_whole() {
    let clip = speech::receptionist("price").unwrap();
    for (format, factor) in [
        (json!({"type": "audio/pcmu"}), 1),
        (json!({"type": "audio/pcma"}), 1),
        (json!({"type": "audio/pcm", "rate": 24_000}), 6),
    ] {
        for size in [DeltaSize::Fixed(333), DeltaSize::Random(1, 5_000)] {
            let server = quick()
                .script(script("[[turns]]\nsays = [{ clip = \"price\" }]"))
                .delta_size(size)
                .start()
                .await
                .unwrap();
            let mut client = Client::ready(&server).await;
            client.send(json!({"type": "session.update", "session": {"type": "realtime", "audio": {"output": {"format": format}}}})).await;
            client.until("session.updated").await;
            client.speak("yes").await;
            let done = client.until("response.done").await;
            assert_eq!(done["response"]["audio"]["output"]["format"], format);
            let audio = client.audio_of(done["response"]["output"][0]["id"].as_str().unwrap());
            assert_eq!(
                audio.len(),
                clip.mulaw().len() * factor,
                "{format} {size:?}"
            );
        }
    }
}

#[tokio::test]
async fn audio_comes_at_the_asked_for_multiple_of_real_time() {
    let server = Realtime::builder()
        .think_ms(100)
        .speed(10.0)
        .start()
        .await
        .unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("hello").await;
    client.until("response.done").await;
    let response = session(&server, 1).await.responses()[0].clone();
    let clip = speech::receptionist("times_long").unwrap();
    assert_eq!(response.audio_ms, clip.duration_ms());
    let first = response.first_audio.unwrap() - response.created;
    assert!(first.as_millis() >= 100, "{first:?}");
    // Never faster; how much slower depends on the machine.
    let whole = (response.done.unwrap() - response.first_audio.unwrap()).as_millis() as u64;
    assert!(whole + 20 >= clip.duration_ms() / 10, "{whole}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_calls_at_once_do_not_mix() {
    let server = quick().recording(Recording::Counts).start().await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..100 {
        let mut client = Client::ready(&server).await;
        calls.push(tokio::spawn(async move {
            client.speak("yes").await;
            let done = client.until("response.done").await;
            let item = done["response"]["output"][0]["id"].as_str().unwrap();
            assert_eq!(
                client.audio_of(item),
                speech::receptionist("times_long").unwrap().mulaw()
            );
            item.to_owned()
        }));
    }
    let mut items = std::collections::BTreeSet::new();
    for call in calls {
        items.insert(call.await.unwrap());
    }
    assert_eq!(items.len(), 100, "ids are unique across sessions");
    let bytes = speech::caller("yes").unwrap().mulaw().len() as u64 + 35 * 160;
    for session in server.sessions() {
        assert_eq!(session.appended_bytes(), bytes);
        assert!(session.sent().is_empty() && session.appended().is_empty());
        assert_eq!(session.responses().len(), 1);
    }
}
