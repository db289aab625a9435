//! The settings' names of the book's tools.

#[test]
fn every_tool_of_the_example_settings_is_one_of_the_book() {
    let tools = appointment_book::tools();
    let built_in = switchboard::settings::BUILT_IN_TOOLS;
    let names: Vec<&str> = tools.iter().map(|tool| tool.name).collect();
    let others = ["end_call", "transfer_call"];
    assert_eq!(
        names,
        built_in
            .iter()
            .copied()
            .filter(|name| !others.contains(name))
            .collect::<Vec<_>>()
    );
}
