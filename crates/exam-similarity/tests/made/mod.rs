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
    /// The pairs who copy: the first of each is the source.
    pub fn copying(&self) -> Vec<(usize, usize)> {
        (0..self.copiers).map(|k| (2 * k, 2 * k + 1)).collect()
    }

    pub fn make(&self) -> Matrix {
        let mut rng = Rng::with_seed(self.seed);
        let options = 4;
        // Log odds of each option at mean ability, and how they move with it; option 0 is right.
        let items: Vec<Vec<(f64, f64)>> = (0..self.items)
            .map(|_| {
                let right = (1.0 + 0.9 * normal(&mut rng), 0.5 + 0.6 * rng.f64());
                let wrong = (1..options).map(|_| (0.8 * normal(&mut rng), 0.3 * normal(&mut rng)));
                let wrong: Vec<_> = wrong.collect();
                std::iter::once(right).chain(wrong).collect()
            })
            .collect();
        let seconds: Vec<f64> = (0..self.items)
            .map(|_| 3.6 + 0.5 * normal(&mut rng))
            .collect();
        let centre: Vec<(f64, f64, f64)> = (0..self.centres)
            .map(|_| {
                (
                    0.4 * normal(&mut rng),
                    0.2 * normal(&mut rng),
                    600.0 * rng.f64(),
                )
            })
            .collect();
        let mut exam = MatrixBuilder::new();
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for student in 0..self.students {
            // Pairs who copy sit in one centre.
            let place = student / 2 % self.centres;
            let (level, tempo, begin) = centre[place];
            let ability = level + normal(&mut rng);
            let slow = tempo + 0.25 * normal(&mut rng);
            let student_name = name(student);
            exam.started(&student_name, Some(begin));
            exam.group(&student_name, &format!("c{place}"));
            let mut row = Vec::with_capacity(self.items);
            let mut clock = begin;
            let mut announced = begin;
            for (item, curves) in items.iter().enumerate() {
                let weights: Vec<f64> = curves
                    .iter()
                    .map(|(a, b)| (a + b * ability).exp())
                    .collect();
                let mut draw = rng.f64() * weights.iter().sum::<f64>();
                let mut option = 0;
                while option + 1 < options && draw >= weights[option] {
                    draw -= weights[option];
                    option += 1;
                }
                let copier = student % 2 == 1 && student / 2 < self.copiers;
                if copier && rng.f64() < self.copied {
                    option = rows[student - 1][item];
                }
                match self.pace {
                    Pace::Own => clock += (seconds[item] + slow + 0.4 * normal(&mut rng)).exp(),
                    Pace::Announced => {
                        clock = announced + (1.5 + 0.5 * normal(&mut rng)).exp();
                        announced += 30.0;
                    }
                }
                let text = format!("o{option}");
                let answer = Answer {
                    option: &text,
                    right: option == 0,
                    at: Some(clock),
                };
                exam.answer(&student_name, &format!("q{item}"), answer)
                    .unwrap();
                row.push(option);
            }
            rows.push(row);
        }
        exam.build()
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
        }
    }
}
