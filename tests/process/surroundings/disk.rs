//! F15: the disk is full under live calls, and then is not.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{talks, was_undisturbed};
use test_support::child::{Serving, serve_in};
use test_support::process_fixture::{Folder, have_turns};
use test_support::{MODEL_KEY, SOON, brief, cannot_run, until};

const QUESTIONS: usize = 6;

/// Whether this machine lets a test have mounts of its own.
fn can_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

/// Takes every byte that is left.
fn fill(path: &Path) -> u64 {
    let mut filler = File::create(path).unwrap();
    let mut taken = 0;
    for size in [64 * 1024, 4_096, 512, 1] {
        while filler.write_all(&vec![0; size]).is_ok() {
            taken += size as u64;
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_a_full_disk_disturbs_no_call_and_needs_no_restart() {
    if !can_mount() {
        let lacks = "this machine lets no test mount a file system of its own (unshare -rm)";
        cannot_run("F15", lacks);
        return;
    }
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let variables = folder.variables(&model.url(), &[]);
    // Four megabytes, seen by this process alone.
    let mount = format!(
        "mount -t tmpfs -o size=4m,mode=700 tmpfs {} && exec \"$0\" serve",
        folder.0.display()
    );
    let serving = Serving::start_by(serve_in(&["unshare", "-rm", "sh"], &mount), &variables).await;
    let inside = format!("/proc/{}/root{}", serving.id(), folder.0.display());
    let inside = PathBuf::from(inside);

    let before = talks(&serving, QUESTIONS, 1_200);
    have_turns(&serving, 1, 1).await;
    until("the store has its file", SOON, async || {
        inside.join("calls.sqlite").exists()
    })
    .await;
    let taken = fill(&inside.join("filler"));
    assert!(taken < 4 * 1024 * 1024, "it is the small file system");
    let full = Instant::now();
    let during = talks(&serving, QUESTIONS, 300);
    let fails = "the store fails, calls go on but would not outlive this process and their tools with effects are refused";
    until("the store complains", SOON, async || {
        serving.event(fails).is_some()
    })
    .await;
    let noticed = full.elapsed();
    // A whole call begins and goes on while nothing can be written.
    have_turns(&serving, 2, 5).await;
    assert_eq!(serving.count(fails), 1, "once a minute");
    assert_eq!(serving.count("the store works again"), 0);
    fs::remove_file(inside.join("filler")).unwrap();
    let space = Instant::now();
    until("the store works again", SOON, async || {
        serving.event("the store works again").is_some()
    })
    .await;
    let works = space.elapsed();
    for call in [before, during] {
        was_undisturbed(&call.await.unwrap(), QUESTIONS);
    }
    let took = serving.stop_within(Duration::from_secs(3)).await;
    println!(
        "F15 4 MB tmpfs filled to the last of {taken} bytes: warning after {} ms, 2 calls and {} answers undisturbed, works \
         again {} ms after there was space, by itself; exit in {} ms",
        noticed.as_millis(),
        2 * (QUESTIONS + 1),
        works.as_millis(),
        took.as_millis()
    );
}
