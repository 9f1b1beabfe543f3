# How R prints the numbers in test_published_numbers.py: Rscript tests/golden/published_numbers.R
#
# No R was run in this project. Each number was read where somebody published R's output, as said beside it, and
# statsmodels_numbers.py computes those of SciPy's and statsmodels' that exist there again in every run of the suite.

# The help pages of t.test and wilcox.test print: t = -1.8608, df = 17.776, p = 0.07939; W = 25.5, p = 0.06933
t.test(extra ~ group, data = sleep)$p.value
wilcox.test(extra ~ group, data = sleep, exact = FALSE)
# p.adjust, by its definition: holm 0.05 0.08 0.09 0.09 0.09; BY 0.1141667 five times; BH 0.05 five times
p <- c(0.01, 0.02, 0.03, 0.04, 0.05)
sapply(c("holm", "BY", "BH", "bonferroni"), function(method) p.adjust(p, method))
# Wilson's interval without continuity correction: Newcombe (1998), table I, method 3: 0.2553 0.3662
prop.test(81, 263, correct = FALSE)$conf.int
# Kolesar's package dfadjust, its own tests/testthat/test-hc2-check.R (github.com/kolesarm/Robust-Small-Sample-Standard-
# Errors, commit f88848c): df 4.94624731 3.90754737 4.77265484; adj. se 188.164883779 109.636001038 3.371563406;
# with fixed effects "x 1.71 0.3501 0.3705 2.4 1 0.1362"
# install.packages("dfadjust")
x <- 1:10
dfadjust::dfadjustSE(lm(x ~ cbind(sin(1:10), sin(2:11))))
x <- 1:100
y <- x^2 + rep(c(1, 2, 3), c(60, 20, 20))
dfadjust::dfadjustSE(lm(y ~ cbind(sin(x), x)))
