//! Exams made by chance: nobody copies unless told to, but students of a centre start together
//! and work at one pace.

use exam_similarity::{Answer, Matrix, MatrixBuilder};
use fastrand::Rng;

#[derive(Debug, Clone)]
pub struct Exam {
    pub seed: u64,
    pub centres: usize,
    pub students: usize,
    pub items: usize,
    pub pace: Pace,
    /// So many pairs, the second of whom takes over this share of the first one's answers.
    pub copiers: usize,
    pub copied: f64,
    /// The second one gives a copied answer seconds after the first one; else at the own pace.
    pub live: bool,
}

/// One student's exam.
struct Sitting {
    centre: usize,
    begin: f64,
    /// Option and time of each item.
    answers: Vec<(usize, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Everybody starts with the centre and then works alone.
    Own,
    /// Somebody reads out the items: a centre goes from one to the next together.
    Announced,
}

pub fn normal(rng: &mut Rng) -> f64 {
    let (u, v) = (1.0 - rng.f64(), rng.f64());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

pub fn name(student: usize) -> String {
    format!("s{student}")
}

impl Exam {
    pub fn make(&self) -> Matrix {
        let mut exam = MatrixBuilder::new();
        for (student, sitting) in self.sittings().into_iter().enumerate() {
            let student = name(student);
            exam.started(&student, Some(sitting.begin));
            exam.group(&student, &format!("c{}", sitting.centre));
            for (item, (option, at)) in sitting.answers.into_iter().enumerate() {
                let text = format!("o{option}");
                let answer = Answer {
                    option: &text,
                    right: option == 0,
                    at: Some(at),
                };
                exam.answer(&student, &format!("q{item}"), answer).unwrap();
            }
        }
        exam.build()
    }

    /// Each student's options. Option 0 is right.
    #[allow(dead_code, reason = "not every user of this module looks at them")]
    pub fn answers(&self) -> Vec<Vec<usize>> {
        let option = |sitting: Sitting| sitting.answers.into_iter().map(|(o, _)| o).collect();
        self.sittings().into_iter().map(option).collect()
    }

    fn sittings(&self) -> Vec<Sitting> {
        let mut rng = Rng::with_seed(self.seed);
        // Log odds of each of four options at mean ability, and how they move with it; and how
        // long the item takes, as log seconds.
        let items: Vec<([(f64, f64); 4], f64)> = (0..self.items)
            .map(|_| {
                let mut wrong = || (0.8 * normal(&mut rng), 0.3 * normal(&mut rng));
                let wrong = [wrong(), wrong(), wrong()];
                let right = (1.0 + 0.9 * normal(&mut rng), 0.5 + 0.6 * rng.f64());
                (
                    [right, wrong[0], wrong[1], wrong[2]],
                    3.6 + 0.5 * normal(&mut rng),
                )
            })
            .collect();
        let centres: Vec<[f64; 3]> = (0..self.centres)
            .map(|_| {
                [
                    0.4 * normal(&mut rng),
                    0.2 * normal(&mut rng),
                    600.0 * rng.f64(),
                ]
            })
            .collect();
        let mut sittings: Vec<Sitting> = Vec::new();
        for student in 0..self.students {
            // The two of a pair that copies sit in one centre.
            let centre = student / 2 % self.centres;
            let [level, tempo, begin] = centres[centre];
            let ability = level + normal(&mut rng);
            let slow = tempo + 0.25 * normal(&mut rng);
            let copier = student % 2 == 1 && student / 2 < self.copiers;
            let mut clock = begin;
            let mut answers = Vec::with_capacity(self.items);
            for (item, (curves, seconds)) in items.iter().enumerate() {
                let weights = curves.map(|(at_mean, slope)| (at_mean + slope * ability).exp());
                let mut draw = rng.f64() * weights.iter().sum::<f64>();
                let mut option = 0;
                while option < 3 && draw >= weights[option] {
                    draw -= weights[option];
                    option += 1;
                }
                clock = match self.pace {
                    Pace::Own => clock + (seconds + slow + 0.4 * normal(&mut rng)).exp(),
                    Pace::Announced => {
                        begin + 30.0 * item as f64 + (1.5 + 0.5 * normal(&mut rng)).exp()
                    }
                };
                if copier && rng.f64() < self.copied {
                    let (copied, at) = sittings[student - 1].answers[item];
                    option = copied;
                    if self.live {
                        clock = at + 2.0 + 4.0 * rng.f64();
                    }
                }
                answers.push((option, clock));
            }
            sittings.push(Sitting {
                centre,
                begin,
                answers,
            });
        }
        sittings
    }
}

impl Default for Exam {
    fn default() -> Self {
        Exam {
            seed: 1,
            centres: 8,
            students: 300,
            items: 60,
            pace: Pace::Own,
            copiers: 0,
            copied: 0.0,
            live: false,
        }
    }
}
