//! Just enough of the Dockerfile format to judge one (docs.docker.com/reference/dockerfile).

/// One stage: from its `FROM` to the next.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// What it is built on, as written.
    pub(crate) base: String,
    /// Its name, empty when it has none.
    pub(crate) name: String,
    /// What follows: the instruction in capitals, and its arguments on one line.
    pub(crate) steps: Vec<(String, String)>,
}

impl Stage {
    /// The arguments of every step of this kind.
    pub(crate) fn all(&self, instruction: &str) -> Vec<&str> {
        let steps = self.steps.iter();
        steps
            .filter(|(name, _)| name == instruction)
            .map(|(_, arguments)| arguments.as_str())
            .collect()
    }

    /// The arguments of the one step of this kind.
    pub(crate) fn only(&self, instruction: &str) -> &str {
        let found = self.all(instruction);
        assert_eq!(found.len(), 1, "{instruction}: {found:?}");
        found[0]
    }

    /// The variables set by `ENV NAME=value …`.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        let pairs = self.all("ENV").into_iter().flat_map(str::split_whitespace);
        pairs.map(|pair| pair.split_once('=').unwrap()).collect()
    }
}

/// A Dockerfile.
#[derive(Debug)]
pub(crate) struct Dockerfile {
    /// The `ARG`s before the first stage: name and default.
    pub(crate) arguments: Vec<(String, String)>,
    /// The stages in order.
    pub(crate) stages: Vec<Stage>,
    /// The same with what each has from the stages it is built on; `base` is the image below them all.
    images: Vec<Stage>,
}

impl Dockerfile {
    /// Reads the text: comments dropped, continued lines joined.
    pub(crate) fn parse(text: &str) -> Self {
        let mut joined = String::new();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
        {
            match line.trim_end().strip_suffix('\\') {
                Some(begun) => joined.push_str(begun),
                None => {
                    joined.push_str(line);
                    joined.push('\n');
                }
            }
        }
        let mut file = Self {
            arguments: Vec::new(),
            stages: Vec::new(),
            images: Vec::new(),
        };
        for line in joined
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (instruction, arguments) = line.split_once(char::is_whitespace).unwrap();
            let words: Vec<&str> = arguments.split_whitespace().collect();
            let arguments = words.join(" ");
            match (instruction, file.stages.last_mut()) {
                ("FROM", _) => file.stages.push(Stage {
                    base: words[0].to_owned(),
                    name: words.get(2).copied().unwrap_or_default().to_owned(),
                    steps: Vec::new(),
                }),
                ("ARG", None) => {
                    let (name, default) = arguments.split_once('=').unwrap();
                    file.arguments.push((name.to_owned(), default.to_owned()));
                }
                (_, None) => panic!("{line:?} stands before the first FROM"),
                (_, Some(stage)) => stage.steps.push((instruction.to_owned(), arguments)),
            }
        }
        for stage in &file.stages {
            let below = file.images.iter().find(|image| image.name == stage.base);
            let mut image = stage.clone();
            if let Some(below) = below {
                image.base.clone_from(&below.base);
                image.steps.splice(..0, below.steps.iter().cloned());
            }
            file.images.push(image);
        }
        file
    }

    /// The image that is built when no target is named.
    pub(crate) fn last(&self) -> &Stage {
        self.images.last().unwrap()
    }

    /// The image of a target.
    pub(crate) fn image(&self, target: &str) -> &Stage {
        let found = self.images.iter().find(|image| image.name == target);
        found.unwrap_or_else(|| panic!("no target {target}"))
    }

    /// The default of an argument of the whole file.
    pub(crate) fn argument(&self, name: &str) -> &str {
        let found = self.arguments.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no ARG {name}")).1
    }
}
