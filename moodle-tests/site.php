<?php
// This file is part of Exam Stream.
//
// Exam Stream is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Exam Stream is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Exam Stream.  If not, see <http://www.gnu.org/licenses/>.

/**
 * Builds the course Maths competition, or one more quiz in it, in the Moodle given by --moodle.
 *
 * Without more it makes the course, 20 students, an invigilator and two quizzes: the competition's three questions,
 * and one of every supported question type. With --quiz=JSON it adds a quiz (see add_quiz) and prints what it made;
 * with --config=JSON it sets site settings, {"plugin": {"name": "value"}}; with --crowd=N it enrols so many students
 * more, and prints their ids.
 *
 * @copyright 2026 The Exam Stream authors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

define('CLI_SCRIPT', true);

$options = getopt('', ['moodle:', 'quiz:', 'config:', 'crowd:']);
require($options['moodle'] . '/config.php');
// Core's test questions are written as test helpers, and those want PHPUnit.
require_once($options['moodle'] . '/vendor/autoload.php');
require_once($CFG->libdir . '/testing/generator/lib.php');
require_once($CFG->libdir . '/phpunit/classes/util.php');
require_once($CFG->dirroot . '/mod/quiz/locallib.php');

\core\cron::setup_user(get_admin());

const PASSWORD = 'Maths-2026';

/** The competition's three questions, as overrides of a test question of core. */
function contest_questions(): array {
    $html = fn(string $text): array => ['text' => $text, 'format' => FORMAT_HTML];
    $none = fn(int $n): array => array_fill(0, $n, ['text' => '', 'format' => FORMAT_HTML]);
    return [
        'contest:choice' => ['multichoice', 'one_of_four', [
            'name' => 'Neither two nor five',
            'questiontext' => $html('<p>How many of the integers from 1 to 100 are divisible by <em>neither</em> 2 <em>nor</em> 5?</p>'),
            'generalfeedback' => $html('Of every ten consecutive integers four remain: those that end in 1, 3, 7 or 9.'),
            'answer' => [$html('40'), $html('45'), $html('30'), $html('50'), $html('')],
            'answernumbering' => 'ABCD', 'fraction' => ['1.0', '0.0', '0.0', '0.0', '0.0'], 'feedback' => $none(5),
        ]],
        'contest:number' => ['numerical', 'pi', [
            'name' => 'Divisors of sixty',
            'questiontext' => $html('<p>Find the sum of all positive divisors of 60.</p>'),
            'generalfeedback' => $html('(1 + 2 + 4)(1 + 3)(1 + 5) = 168'),
            'noanswers' => 1, 'answer' => ['168'], 'tolerance' => [0], 'fraction' => ['1.0'], 'feedback' => $none(1),
        ]],
        'contest:word' => ['shortanswer', 'frogtoad', [
            'name' => 'Two dice',
            'questiontext' => $html('<p>Two fair dice are thrown. What is the probability that their sum is 9?
                Give a fraction in lowest terms, such as 2/3.</p>'),
            'generalfeedback' => $html('Four of the 36 outcomes: 3+6, 4+5, 5+4 and 6+3.'),
            'answer' => ['1/9'], 'fraction' => ['1.0'], 'feedback' => $none(1),
        ]],
    ];
}

/**
 * Adds a quiz to the course.
 *
 * @param stdClass $course
 * @param array $spec 'name', 'questions' (each 'qtype:which' of a type's test questions, [qtype, which, what differs in
 *     it], or 'contest:…'),
 *     'perpage' (0: one page), 'stream' (false: the plugin is off), 'switches' ('name' => 0 or 1: see the plugin's class),
 *     and any field of the quiz
 * @return array quiz, cmid, and the slots' question types
 */
function add_quiz(stdClass $course, array $spec): array {
    $generator = phpunit_util::get_data_generator();
    $questions = $generator->get_plugin_generator('core_question');
    $perpage = $spec['perpage'] ?? 0;
    $fields = array_diff_key($spec, array_flip(['questions', 'perpage', 'stream', 'switches']));
    $quiz = $generator->create_module('quiz', $fields + ['course' => $course->id, 'questionsperpage' => $perpage, 'grade' => 10]);
    $settings = $spec['switches'] ?? [];
    if (!($spec['stream'] ?? true)) {
        $settings['enabled'] = 0;
    }
    \local_examstream\local\quiz_form::set((int) $quiz->id, $settings);
    $context = context_module::instance($quiz->cmid);
    $category = $questions->create_question_category(['contextid' => $context->id, 'name' => $spec['name']]);
    $slots = [];
    foreach ($spec['questions'] as $i => $name) {
        [$qtype, $which, $overrides] = is_array($name) ? $name : contest_questions()[$name] ?? [...explode(':', $name), []];
        $question = $questions->create_question($qtype, $which, ['category' => $category->id] + $overrides);
        quiz_add_quiz_question($question->id, $quiz, $perpage ? intdiv($i, $perpage) + 1 : 1);
        $slots[$i + 1] = $qtype;
    }
    \mod_quiz\quiz_settings::create($quiz->id)->get_grade_calculator()->recompute_quiz_sumgrades();
    return ['quiz' => (int) $quiz->id, 'cmid' => (int) $quiz->cmid, 'slots' => $slots];
}

/**
 * Enrols a crowd, in a few queries: two thousand students in seconds.
 *
 * @param stdClass $course
 * @param int $size
 * @return int[] user ids
 */
function enrol_crowd(stdClass $course, int $size): array {
    global $DB, $CFG;
    $ids = fn(): array => array_map(intval(...), $DB->get_fieldset_select('user', 'id', "username LIKE 'crowd%'"));
    if (count($ids()) < $size) {
        $first = ['Aiko', 'Björn', 'Chiara', 'Dmitri', 'Élodie', 'Fatima', 'Goran', 'Hana', 'Ivan', 'Jamila', 'Kofi', 'Lena'];
        $last = ['Abe', 'Bauer', 'Costa', 'Dahl', 'Eriksen', 'Fischer', 'Gupta', 'Horvat', 'Ito', 'Jansen', 'Khan', 'López', 'Mbeki'];
        $users = [];
        for ($i = count($ids()) + 1; $i <= $size; $i++) {
            $users[] = (object) ['username' => sprintf('crowd%05d', $i), 'firstname' => $first[$i % count($first)],
                'lastname' => $last[intdiv($i, count($first)) % count($last)] . " $i", 'email' => "crowd$i@example.invalid",
                'confirmed' => 1, 'mnethostid' => $CFG->mnet_localhost_id, 'auth' => 'manual', 'timecreated' => time()];
        }
        $DB->insert_records('user', $users);
        $enrol = $DB->get_field('enrol', 'id', ['courseid' => $course->id, 'enrol' => 'manual'], MUST_EXIST);
        $role = $DB->get_field('role', 'id', ['shortname' => 'student'], MUST_EXIST);
        $new = array_diff($ids(), $DB->get_fieldset_select('user_enrolments', 'userid', 'enrolid = ?', [$enrol]));
        $DB->insert_records('user_enrolments', array_map(fn($id) => (object) ['enrolid' => $enrol, 'userid' => $id,
            'status' => ENROL_USER_ACTIVE, 'timecreated' => time(), 'timemodified' => time()], $new));
        $DB->insert_records('role_assignments', array_map(fn($id) => (object) ['roleid' => $role, 'userid' => $id,
            'contextid' => context_course::instance($course->id)->id, 'timemodified' => time(), 'component' => ''], $new));
    }
    return array_slice($ids(), 0, $size);
}

/** The course, its people and its two quizzes. */
function build(): void {
    $generator = phpunit_util::get_data_generator();
    $course = $generator->create_course(['fullname' => 'Maths competition', 'shortname' => 'MATHS', 'numsections' => 1]);
    $first = ['Ada', 'Emmy', 'Carl', 'Sofya', 'Srinivasa', 'Maryam', 'Leonhard', 'Hypatia', 'Évariste', 'Mary',
        'Paul', 'Grace', 'Terence', 'Katherine', 'Alan', 'Julia', 'Niels', 'Shiing', 'Olga', 'Kurt'];
    $last = ['Lindqvist', 'Okafor', 'Brandt', 'Petrova', 'Iyer', 'Karimi', 'Meier', 'Stavrou', 'Dubois', 'Murray',
        'Kovács', 'Hansen', 'Wong', 'Brown', 'Taylor', 'Garcia', 'Berg', 'Lee', 'Novak', 'Huber'];
    foreach ($first as $i => $name) {
        $username = sprintf('student%02d', $i + 1);
        $user = $generator->create_user(['username' => $username, 'password' => PASSWORD, 'firstname' => $name,
            'lastname' => $last[$i], 'email' => $username . '@example.invalid']);
        $generator->enrol_user($user->id, $course->id, 'student');
    }
    $user = $generator->create_user(['username' => 'invigilator', 'password' => PASSWORD, 'firstname' => 'Ivo',
        'lastname' => 'Invigilator', 'email' => 'invigilator@example.invalid']);
    $generator->enrol_user($user->id, $course->id, 'editingteacher');

    // With all that there is to see.
    $switches = array_fill_keys(array_keys(\local_examstream\local\switches::BITS), 1);
    add_quiz($course, ['name' => 'Maths competition', 'timelimit' => HOURSECS, 'questions' => array_keys(contest_questions()),
        'switches' => $switches]);
    add_quiz($course, ['name' => 'Every question type', 'perpage' => 4, 'questions' => ['truefalse:true', 'multichoice:one_of_four',
        'multichoice:two_of_four', 'numerical:pi', 'shortanswer:frogtoad', 'match:foursubq', 'gapselect:missingchoiceno',
        'essay:plain', 'essay:editorfilepicker', 'ddwtos:fox', 'ordering:moodle', 'multianswer:twosubq',
        'calculatedsimple:sumwithvariants', 'calculated:sum', 'ddimageortext:xsection', 'ddmarker:mkmap']]);
    // A guided tour would lie over the first page of everyone who logs in.
    $DB = $GLOBALS['DB'];
    $DB->set_field('tool_usertours_tours', 'enabled', 0);
}

if (isset($options['quiz'])) {
    $course = $DB->get_record('course', ['shortname' => 'MATHS'], '*', MUST_EXIST);
    echo json_encode(add_quiz($course, json_decode($options['quiz'], true, 16, JSON_THROW_ON_ERROR))), "\n";
} else if (isset($options['crowd'])) {
    $course = $DB->get_record('course', ['shortname' => 'MATHS'], '*', MUST_EXIST);
    echo json_encode(enrol_crowd($course, (int) $options['crowd'])), "\n";
} else if (isset($options['config'])) {
    foreach (json_decode($options['config'], true, 16, JSON_THROW_ON_ERROR) as $plugin => $settings) {
        foreach ($settings as $name => $value) {
            set_config($name, $value, $plugin === 'core' ? null : $plugin);
        }
    }
} else {
    build();
}
