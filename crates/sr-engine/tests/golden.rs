//! Same seed, same search: digests of whole trajectories, so that a faster engine is seen to be the same engine.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use sr_engine::random::{Key, Purpose, problem_key};
use sr_engine::{Expert, Generation, Instance, PrimitiveSet, Replacement, Search, SearchConfig, StopReason, Survival};
use sr_expr::{Columns, Op};

const ARITH: &[Op] = &[Op::Add, Op::Sub, Op::Mul];
const FULL: &[Op] = &[
    Op::Add,
    Op::Sub,
    Op::Mul,
    Op::Div,
    Op::Pow,
    Op::Neg,
    Op::Exp,
    Op::Log,
    Op::Sqrt,
    Op::Sin,
    Op::Cos,
    Op::Tan,
    Op::Pow2,
    Op::Tanh,
];

/// A target out of reach, so that no search stops early.
fn instance(ops: &[Op], rows: usize) -> Arc<Instance> {
    let mut rng = Key::new(1, Purpose::Rows, 0).rng();
    let x: Vec<f64> = (0..2 * rows).map(|_| rng.uniform(-2.0, 2.0)).collect();
    let y = (0..rows).map(|row| libm::sin(3.0 * x[row]) + libm::cos(x[rows + row] * x[rows + row])).collect();
    let primitives = PrimitiveSet::new(ops.to_vec(), vec![1.0, -2.5], 2).expect("primitives");
    Arc::new(Instance::new("golden", Columns::new(rows, 2, x), y, primitives).expect("instance"))
}

/// FNV-1a of everything that a generation holds, all generations in a row, and of what the search has spent.
fn digest(instance: Arc<Instance>, config: SearchConfig, seed: u64) -> u64 {
    let mut text = String::new();
    let mut observer = |generation: &Generation<'_>| {
        for i in generation.population.iter() {
            let (mse, fitness) = (i.score.mse.to_bits(), i.score.fitness.to_bits());
            write!(text, "{}|{mse:x}|{fitness:x}|{}|{:?}|", i.tree, i.origin.name(), i.parents).expect("a string");
            if let Some(edit) = &i.edit {
                write!(text, "{},{},", edit.parent, edit.node).expect("a string");
                match &edit.replacement {
                    Replacement::Donor { parent, node } => write!(text, "{parent},{node}"),
                    Replacement::Written(tree) => write!(text, "{tree}"),
                }
                .expect("a string");
            }
            text.push('\n');
        }
        let best =
            (generation.best.expr.to_string(), generation.best.score.mse.to_bits(), generation.population.best_index());
        writeln!(text, "{} {best:?} {:?}", generation.generation, generation.evaluations).expect("a string");
        ControlFlow::Continue(())
    };
    let mut search = Search::new(instance, config, seed).expect("config");
    let outcome = search.run_with(&mut Expert, &mut observer).expect("the expert never fails");
    assert!(matches!(outcome.stop, Some(StopReason::Generations(_) | StopReason::Exhausted)));
    for step in &outcome.progression {
        writeln!(text, "{} {} {:x}", step.generation, step.expr, step.score.mse.to_bits()).expect("a string");
    }
    problem_key(&text)
}

/// Digests of the three seeds 1 to 3, for 50 and 300 rows.
#[track_caller]
fn check(ops: &[Op], survival: Survival, unique: bool, expected: [[u64; 3]; 2]) {
    let config = SearchConfig { generations: 60, survival, unique, ..SearchConfig::basic() };
    let found = [50, 300].map(|rows| [1, 2, 3].map(|seed| digest(instance(ops, rows), config.clone(), seed)));
    assert_eq!(found, expected, "{found:#x?}");
}

#[test]
fn arithmetic_generational() {
    check(
        ARITH,
        Survival::Generational,
        false,
        [
            [0xea22_a825_c681_07cc, 0x81c1_14ba_5470_6754, 0xd9a4_e12c_c60f_ecbc],
            [0xf8ed_cb9e_2b5d_29aa, 0x1547_e9cc_ec2f_ddf7, 0xd951_b66d_51c2_acc1],
        ],
    );
}

#[test]
fn arithmetic_plus() {
    check(
        ARITH,
        Survival::Plus,
        false,
        [
            [0x1c31_1d08_c31c_fa2c, 0x7570_057a_e323_e650, 0x7d22_e9fa_1ad0_106a],
            [0x3422_ae0a_b1dd_1d27, 0xb839_1374_80a0_b688, 0x5aa8_d9e5_9fb6_0a4b],
        ],
    );
}

#[test]
fn arithmetic_unique() {
    check(
        ARITH,
        Survival::Generational,
        true,
        [
            [0x7391_27f6_674c_c411, 0xd94f_0aef_83d6_eb42, 0x1e19_e4ac_f756_1c57],
            [0x8bab_9df8_da38_bb13, 0xee64_caf5_e09a_59be, 0x8097_4928_2edc_807c],
        ],
    );
}

#[test]
fn arithmetic_plus_unique() {
    check(
        ARITH,
        Survival::Plus,
        true,
        [
            [0xbf80_8e87_d227_6541, 0x0f43_c43c_a85f_606f, 0xc9c5_dd61_5180_14cf],
            [0x7e99_d237_783a_f151, 0xdb89_d70d_c7ff_7e2b, 0x8209_fd26_93d6_4a0e],
        ],
    );
}

#[test]
fn full_generational() {
    check(
        FULL,
        Survival::Generational,
        false,
        [
            [0x82ac_453e_accf_bad6, 0xd2c8_0e08_2145_f12b, 0x7052_0c26_b7e3_9b93],
            [0x22b3_0a4b_4fef_bb91, 0x0aaa_f74b_1fb4_858e, 0xd1de_423e_b563_9149],
        ],
    );
}

#[test]
fn full_plus() {
    check(
        FULL,
        Survival::Plus,
        false,
        [
            [0x5b74_4d5b_d035_f373, 0x36cf_8ba8_c958_b23e, 0xb758_0dd8_1a8c_69c2],
            [0xcaa5_ebd4_a2b1_1656, 0x146f_3d1e_ede7_8ab5, 0x1b18_999c_eb57_7779],
        ],
    );
}

#[test]
fn full_unique() {
    check(
        FULL,
        Survival::Generational,
        true,
        [
            [0xdfd0_6656_6bcc_c888, 0x0bb8_cefe_6cda_3175, 0x9bd9_39a0_2562_e147],
            [0xb93c_6444_7367_c75f, 0x5dca_1cbf_a8d9_9684, 0xbbc8_29c7_7470_b802],
        ],
    );
}

#[test]
fn full_plus_unique() {
    check(
        FULL,
        Survival::Plus,
        true,
        [
            [0x2ad4_c375_60b0_0c9b, 0xea76_a879_39fb_4e2f, 0x14c1_60b4_8ded_beee],
            [0xcb3f_ec29_a9ca_9cb3, 0xdab8_dd46_c46a_fad8, 0x4fa2_01f9_d5d5_53be],
        ],
    );
}

#[test]
fn a_large_population_with_small_trees_and_wide_tournaments() {
    let config = SearchConfig {
        population_size: 300,
        generations: 20,
        tournament_size: 20,
        elitism: 0,
        limits: sr_engine::Limits { max_size: 9, max_depth: 3 },
        ..SearchConfig::basic()
    };
    let found = digest(instance(FULL, 50), config, 4);
    assert_eq!(found, 0xb26d_8a86_630e_3618, "{found:#x}");
}

/// Enough rows that children are given up on the way and subtrees are kept: neither changes anything.
#[test]
fn shortcuts_on_many_rows() {
    let found = [Survival::Generational, Survival::Plus].map(|survival| {
        let config = SearchConfig { generations: 40, survival, ..SearchConfig::basic() };
        [1, 2].map(|seed| digest(instance(FULL, 3000), config.clone(), seed))
    });
    let expected = [[0x9a7a_1b01_f9bc_95c0, 0x7d76_9f23_88e4_8bf0], [0xaeb6_c1bd_618d_e728, 0x1847_a041_0ae1_d858]];
    assert_eq!(found, expected, "{found:#x?}");
}
