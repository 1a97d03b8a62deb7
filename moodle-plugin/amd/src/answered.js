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
 * Whether the fields of a question hold an answer, judged by its type.
 *
 * This is the digit of the status word, not a judgement about the answer: one part of a question with several is enough.
 *
 * @module     local_examstream/answered
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

/** Types whose menus and drop zones say 0 while they are empty. */
const ZERO_IS_EMPTY = ['ddimageortext', 'ddwtos', 'gapselect', 'match', 'randomsamatch'];

/** Types with radio buttons, where -1 is "Clear my choice". */
const CHOICE = ['calculatedmulti', 'multichoice', 'truefalse'];

/**
 * Fields that say how, not what, was answered: control and behaviour fields, formats, draft areas, units, languages, and what
 * STACK has understood of an input.
 */
const NOT_AN_ANSWER = /^[:_-]|format$|:itemid$|^attachments$|^unit$|^(step_lang|language)$|_val$/;

/**
 * Whether HTML shows anything.
 *
 * @param {String} html
 * @return {Boolean}
 */
const showsSomething = html => /<(img|audio|video|iframe|object|embed|math|svg)\b/i.test(html)
    || html.replace(/<[^>]*>|&nbsp;|\s/g, '') !== '';

/**
 * Whether the fields of a question hold an answer.
 *
 * @param {String} qtype the question's type.
 * @param {Object} fields without the prefix of usage and slot.
 * @param {Boolean} attached whether files are attached; the fields hold the id of a draft area only.
 * @return {Boolean}
 */
export const isAnswered = (qtype, fields, attached = false) => attached || Object.entries(fields).some(([name, value]) => {
    if (NOT_AN_ANSWER.test(name) || value.trim() === '') {
        return false;
    }
    if (/(^|_)choice\d+$/.test(name) || ZERO_IS_EMPTY.includes(qtype)) {
        return value !== '0';
    }
    if (CHOICE.includes(qtype)) {
        return value !== '-1';
    }
    return fields[`${name}format`] !== '1' || showsSomething(value);
});
