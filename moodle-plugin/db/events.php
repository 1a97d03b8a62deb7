<?php
// This file is part of Moodle - https://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <https://www.gnu.org/licenses/>.

/**
 * Event observers. Those that stream are told after the commit: what is rolled back has not happened.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

defined('MOODLE_INTERNAL') || die();

$observers = [
    [
        'eventname' => '\mod_quiz\event\attempt_viewed',
        'callback' => '\local_examstream\observer::attempt_viewed',
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_started',
        'callback' => '\local_examstream\observer::attempt_started',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_preview_started',
        'callback' => '\local_examstream\observer::attempt_started',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_started',
        'callback' => '\local_examstream\observer::attempt_exists',
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_preview_started',
        'callback' => '\local_examstream\observer::attempt_exists',
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_updated',
        'callback' => '\local_examstream\observer::attempt_updated',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_autosaved',
        'callback' => '\local_examstream\observer::attempt_autosaved',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_submitted',
        'callback' => '\local_examstream\observer::attempt_submitted',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_becameoverdue',
        'callback' => '\local_examstream\observer::attempt_becameoverdue',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_abandoned',
        'callback' => '\local_examstream\observer::attempt_abandoned',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_reopened',
        'callback' => '\local_examstream\observer::attempt_reopened',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_reviewed',
        'callback' => '\local_examstream\observer::attempt_reviewed',
        'internal' => false,
    ],
    [
        'eventname' => '\mod_quiz\event\attempt_deleted',
        'callback' => '\local_examstream\observer::attempt_deleted',
        'internal' => false,
    ],
    [
        'eventname' => '\core\event\course_module_deleted',
        'callback' => '\local_examstream\observer::course_module_deleted',
        'internal' => false,
    ],
];
