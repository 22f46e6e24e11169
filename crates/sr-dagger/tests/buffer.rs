//! Tests a buffer against lists in memory that follow its documentation.

use proptest::prelude::*;
use sr_dagger::{Buffer, BufferOptions, Keep};
use sr_engine::random::{Key, Purpose};

/// Returns a row that contains its running number, so that it is recognized in any slot.
fn row(number: u64) -> [u8; 12] {
    let mut row = [0xab; 12];
    row[..8].copy_from_slice(&number.to_le_bytes());
    row
}

fn number(row: &[u8]) -> u64 {
    assert_eq!(row[8..], [0xab; 4]);
    u64::from_le_bytes(row[..8].try_into().expect("8 bytes"))
}

/// The expected content of a buffer: for each slot, the round and the row's number.
struct Model {
    slots: Vec<Option<(u32, u64)>>,
    capacity: u64,
    /// The slot of the next row, first in, first out.
    next: usize,
    appended: u64,
}

impl Model {
    fn append(&mut self, options: &BufferOptions, round: u32, rows: &[u64]) {
        let max = options.max_rows as usize;
        if self.capacity == 0 {
            self.capacity = (10 * rows.len() as u64).clamp(1, options.max_rows);
        }
        let filled = self.slots.iter().flatten().count();
        while self.capacity < ((filled + rows.len()) as u64).min(options.max_rows) {
            self.capacity = (2 * self.capacity).min(options.max_rows);
        }
        for &row in rows {
            let slot = match options.keep {
                Keep::Reservoir if self.appended as usize >= max => {
                    Key::new(options.seed, Purpose::Buffer, self.appended).rng().below(self.appended as usize + 1)
                }
                _ => self.next,
            };
            if slot < max {
                self.slots[slot] = Some((round, row));
            }
            self.next = (self.next + 1) % max;
            self.appended += 1;
        }
    }
}

fn keeps() -> impl Strategy<Value = Keep> {
    prop_oneof![Just(Keep::Fifo), Just(Keep::Reservoir), (1..20_u64).prop_map(Keep::Quota)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_buffer_is_its_model(
        keep in keeps(),
        max_rows in 1..60_u64,
        seed: u64,
        rounds in prop::collection::vec((0..40_u64, any::<bool>()), 1..12),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("buffer");
        let options = BufferOptions { max_rows, keep, seed, ..BufferOptions::new(12) };
        let mut buffer = Buffer::open(&path, options.clone()).expect("a buffer");
        let mut model = Model { slots: vec![None; max_rows as usize], capacity: 0, next: 0, appended: 0 };
        let mut appended = 0;
        for (round, (n_rows, reopen)) in rounds.into_iter().enumerate() {
            let round = round as u32;
            let numbers: Vec<u64> = (appended..appended + n_rows).collect();
            appended += n_rows;
            let bytes: Vec<u8> = numbers.iter().flat_map(|&number| row(number)).collect();
            prop_assert!(buffer.append(round, &bytes).expect("rows"));
            prop_assert!(!buffer.append(round, &bytes).expect("rows that are there"));
            if reopen {
                drop(buffer);
                buffer = Buffer::open(&path, options.clone()).expect("the buffer");
            }

            let of_round = |wanted: u32| buffer.slots().filter(move |&(_, from)| from == wanted);
            match keep {
                Keep::Quota(quota) => {
                    // The buffer chooses the rows; their number and their round are given.
                    let mut kept: Vec<u64> = of_round(round).map(|(slot, _)| number(&buffer.row(slot).expect("a row"))).collect();
                    kept.sort_unstable();
                    prop_assert_eq!(kept.len() as u64, n_rows.min(quota).min(max_rows));
                    prop_assert!(kept.iter().all(|number| numbers.contains(number)));
                    if n_rows.min(quota) > max_rows {
                        // Some rows were appended and replaced at once, so the model cannot know them.
                        return Ok(());
                    }
                    model.append(&options, round, &kept);
                }
                Keep::Fifo | Keep::Reservoir => model.append(&options, round, &numbers),
            }
            for slot in 0..max_rows {
                let expected = model.slots[slot as usize];
                let found = buffer.round_of(slot).map(|round| (round, number(&buffer.row(slot).expect("a row"))));
                prop_assert_eq!(found, expected, "round {}, slot {}", round, slot);
            }
            prop_assert_eq!(buffer.capacity(), model.capacity);
            prop_assert_eq!(buffer.appended(), appended);
            prop_assert_eq!(buffer.rounds(), round + 1);
            prop_assert!(buffer.size() <= buffer.capacity() && buffer.capacity() <= max_rows);
            if keep == Keep::Fifo {
                let mut kept: Vec<u64> = buffer.slots().map(|(slot, _)| number(&buffer.row(slot).expect("a row"))).collect();
                kept.sort_unstable();
                prop_assert!(kept.into_iter().eq(appended.saturating_sub(max_rows)..appended));
            }
        }
    }
}

#[test]
fn capacity_begins_at_ten_rounds_and_doubles() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = BufferOptions { max_rows: 100, ..BufferOptions::new(12) };
    let mut buffer = Buffer::open(folder.path().join("buffer"), options).expect("a buffer");
    assert_eq!(buffer.capacity(), 0);
    let mut capacities = Vec::new();
    for round in 0..7 {
        let n_rows = if round == 0 { 2 } else { 19 };
        buffer.append(round, &vec![0; 12 * n_rows]).expect("rows");
        capacities.push((buffer.size(), buffer.capacity()));
    }
    assert_eq!(capacities, [(2, 20), (21, 40), (40, 40), (59, 80), (78, 80), (97, 100), (100, 100)]);
}
