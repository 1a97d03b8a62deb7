@local @local_examstream @javascript
Feature: A student sees that answers are saved
  In order to trust the quiz
  As a student
  I see at each question that my answer is saved, and get it back

  Background:
    Given answers can be streamed
    And the following "users" exist:
      | username | firstname | lastname |
      | teacher  | Ivo       | Teacher  |
      | student  | Ada       | Student  |
    And the following "courses" exist:
      | fullname | shortname |
      | Course 1 | C1        |
    And the following "course enrolments" exist:
      | user    | course | role           |
      | teacher | C1     | editingteacher |
      | student | C1     | student        |
    And the following "activities" exist:
      | activity | name   | course | idnumber |
      | quiz     | Quiz 1 | C1     | quiz1    |
    And the following "question categories" exist:
      | contextlevel | reference | name           |
      | Course       | C1        | Test questions |
    And the following "questions" exist:
      | questioncategory | qtype     | name | questiontext |
      | Test questions   | truefalse | TF1  | First        |
      | Test questions   | truefalse | TF2  | Second       |
    And quiz "Quiz 1" contains the following questions:
      | question | page |
      | TF1      | 1    |
      | TF2      | 2    |

  Scenario: An answer is marked as saved, and is there when the student comes back
    Given I am on the "Quiz 1" "mod_quiz > View" page logged in as student
    And I press "Attempt quiz"
    When I click on "True" "radio" in the "First" "question"
    Then I should see "Saved" in the ".local-examstream-mark" "css_element"
    And I wait "2" seconds
    And I am on the "Quiz 1" "mod_quiz > View" page
    And I press "Continue your attempt"
    And I should see "An answer that you had not submitted yet has been restored."
    And the field "True" matches value "1"

  Scenario: A student is told what is noted, and of nothing that is not
    Given "signalhidden" is switched on in the quiz "Quiz 1"
    And I am on the "Quiz 1" "mod_quiz > View" page logged in as student
    When I press "Attempt quiz"
    Then I should see "Noted besides your answers: leaving the page."
    And I click on "Noted besides your answers" "text"
    And I should see "How often and for how long this page is hidden"
    And I should not see "How often you copy and paste"
    And I should not see "Ask for help"
