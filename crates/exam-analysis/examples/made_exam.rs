//! Writes a made exam of COUNT answers over three hours into cold storage below DIR, each up to
//! ten seconds out of order: what `bench/sql.sh` runs the paper's Figure 3 over.

use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};

use exam_record::make::{Attempt, Stamp, answer};

/// 2026-01-05 09:00 UTC.
const START: u64 = 1_767_603_600_000_000;
const LENGTH: u64 = 3 * 3_600_000_000;
const STUDENTS: u64 = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: made_exam DIR COUNT".into());
    };
    let count: u64 = count.parse()?;
    let mut files = Vec::new();
    for hour in 9..13 {
        let dir = format!("{dir}/cold/exam/dt=2026-01-05/hour={hour:02}");
        create_dir_all(&dir)?;
        files.push(BufWriter::new(File::create(format!(
            "{dir}/0000000000000001.jsonl"
        ))?));
    }
    let mut random = 1u64;
    for n in 0..count {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let student = (random >> 33) % STUDENTS;
        let ts = START + n * (LENGTH / count) + (random >> 20) % 10_000_000;
        let attempt = Attempt {
            site: "https://moodle.example".into(),
            quiz: 4,
            attempt: student as i64 + 1,
            usage: student as i64 + 100,
            student_id: student as i64 + 1_000,
        };
        let id = format!("{student}-3f9a-{n}");
        let stamp = Stamp {
            id: &id,
            ts,
            at: ts - 250_000,
            page: "1767603600-3f9a",
            seq: n as i64,
        };
        let slot = (random >> 40) as u32 % 40 + 1;
        let status = u8::from(!(random >> 50).is_multiple_of(8));
        let fields = [("answer", "2"), (":sequencecheck", "1"), (":flagged", "0")];
        let line = answer(&attempt, &stamp, slot, i64::from(slot), status, &fields);
        let file = &mut files[((ts - START) / 3_600_000_000) as usize];
        file.write_all(line.as_bytes())?;
        file.write_all(b"\n")?;
    }
    files.into_iter().try_for_each(|mut file| file.flush())?;
    Ok(())
}
