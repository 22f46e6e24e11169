//! Settings as TOML, and as the short texts of flags. The first byte says what the others are: the settings of a training, of
//! a data set, of milestones, or units, nesting and complexity.

#![no_main]

#[path = "../../bins/sr-dataset/src/config.rs"]
mod dataset;

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use sr_fuzz::{Scratch, of_project, write_seeds};
use sr_lab::fit::{parse_complexity, parse_nesting, parse_units, units_of_header};
use sr_lab::sr_expr::units::ConstantUnits;
use sr_lab::tasks::{formula, point};
use sr_train::TrainConfig;

static FILE: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("settings.toml"));

const TRAINING: u8 = 0;
const DATASET: u8 = 1;
const MILESTONES: u8 = 2;
const POINT_CONTROL: u8 = 3;
const FLAGS: u8 = 4;

fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, text: &[u8]| [&[kind], text].concat();
    let files = [
        (TRAINING, "configs/onestep-tiny.toml"),
        (TRAINING, "configs/arithmetic-expert-only.toml"),
        (TRAINING, "configs/modes.toml"),
        (DATASET, "configs/dataset-gen1k_arith_1k_c05.toml"),
        (MILESTONES, "configs/milestones-demo.toml"),
        (POINT_CONTROL, "configs/milestones-point-control.toml"),
    ];
    let files = files.into_iter().filter_map(|(kind, name)| Some(of(kind, &std::fs::read(of_project(name)).ok()?)));
    let texts = [
        (
            DATASET,
            "exclude = [\"nguyen\"]\n[problems]\ncount = 9\ncomplexity = 0.5\n[search]\ngenerations = 3\nruns = 2\n",
        ),
        (DATASET, "[problems]\nsuite = \"simple\"\n[corpus]\nmode = \"direct\"\n"),
        (MILESTONES, "[[milestone]]\nid = \"a\"\noperators = \"+,*\"\nmax_variables = 1\npoints = 9\n"),
        (POINT_CONTROL, "[[milestone]]\nid = \"calm\"\nwind = 0.5\nnoise = [0, 1]\nsteps = 20\n"),
        (FLAGS, "x0=m/s^2,mass=kg,y=kg*m"),
        (FLAGS, "sin:cos=1,exp:exp=0"),
        (FLAGS, "sin=3,constant=2,x0=5"),
    ];
    files.chain(texts.map(|(kind, text)| of(kind, text.as_bytes()))).collect()
}

fuzz_target!(init: write_seeds(seeds), |input: &[u8]| -> Corpus {
    let Some((&kind, bytes)) = input.split_first() else { return Corpus::Reject };
    let Ok(text) = std::str::from_utf8(bytes) else { return Corpus::Reject };
    match kind {
        TRAINING => match TrainConfig::from_toml(text) {
            Ok(config) => {
                let resolved = config.resolve(1);
                let _ = (resolved.model.parameter_count(), resolved.training.warnings(), resolved.training.learning_rate(5));
            }
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
        },
        DATASET => {
            let path = FILE.file(bytes);
            let settings = dataset::Config::read(path).and_then(|config| config.settings(Path::new("x.toml"), 1, None));
            drop(settings);
        }
        MILESTONES => drop(formula::milestones(Some(FILE.file(bytes)))),
        POINT_CONTROL => drop(point::milestones(Some(FILE.file(bytes)))),
        FLAGS => {
            let variables = ["x0", "mass [kg]", "t"].map(String::from);
            for constants in [ConstantUnits::Dimensionless, ConstantUnits::Free] {
                let _ = parse_units(text, &variables, "y", constants);
                let _ = units_of_header(&[text.to_owned(), "a [m]".to_owned()], "y [s]", constants);
            }
            let _ = (parse_complexity(text, &variables), parse_nesting(text));
        }
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});
